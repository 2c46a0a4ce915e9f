//! Reads an image's configuration from an engine, and the image itself as a stream.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use image_contents::Configuration;
use serde_json::json;

use crate::engine::{Engine, EngineError, EngineErrorKind, next, with_algorithm};

impl Engine {
    /// The id and configuration of the image with this name on the engine.
    pub(super) async fn configuration(
        &self,
        image: &str,
    ) -> Result<Option<(String, Configuration)>, EngineError> {
        let inspected = match self.ask(self.quick.inspect_image(image)).await {
            Ok(inspected) => inspected,
            Err(error) if error.kind == EngineErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The engine arranges the fields of the image specification differently.
        let configuration = json!({
            "os": inspected.os.unwrap_or_default(),
            "architecture": inspected.architecture.unwrap_or_default(),
            "variant": inspected.variant,
            "created": inspected.created.map(|created| created.to_rfc3339()),
            "config": inspected.config,
            "rootfs": { "diff_ids": inspected.root_fs.and_then(|root| root.layers) },
        });
        let wrong =
            |why: String| EngineError::new(EngineErrorKind::Failed, format!("its configuration: {why}"));
        let bytes = serde_json::to_vec(&configuration).map_err(|why| wrong(why.to_string()))?;
        let configuration = Configuration::from_json(&bytes).map_err(wrong)?;
        Ok(Some((with_algorithm(inspected.id.unwrap_or_default()), configuration)))
    }

    /// Exports images as one archive (`docker save`), which contains shared layers once.
    pub(super) fn export(
        &self,
        ids: &[&str],
        idle: Duration,
    ) -> BoxStream<'static, Result<Bytes, EngineError>> {
        let stream = self.long.export_images(ids).boxed();
        futures_util::stream::try_unfold(stream, move |mut stream| async move {
            Ok(next(&mut stream, idle).await?.map(|piece| (piece, stream)))
        })
        .boxed()
    }
}

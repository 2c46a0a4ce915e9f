//! Implements the session that BuildKit opens during a build to request files, build secrets and
//! credentials.
//!
//! moby's `POST /session` reverses the connection: from then on the engine is the client of four
//! gRPC services (BuildKit's `session/filesync`, `session/secrets` and `session/auth`, and gRPC's
//! health checking). bollard has a similar session without files. Secret values leave this module
//! only when a build requests them by their id.
//! module only when a build requests them by their id.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bollard::auth::DockerCredentials;
use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use futures_util::Stream;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::rt::{Read, Write};
use hyper::{Request as HttpRequest, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

mod files;
mod write_coalescer;

use crate::build::context::filesync::Source;
use crate::engine::endpoint::connect::Transport;
use crate::engine::{EngineError, EngineErrorKind};
use crate::run::options::BuildSecret;

/// Time limit for the engine to open a session.
const OPENING: Duration = Duration::from_secs(30);

/// The largest HTTP/2 window (RFC 9113, 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// The methods that the engine may call, as announced to it.
const METHODS: [&str; 5] = [
    files::DIFF_COPY,
    "/grpc.health.v1.Health/Check",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
];

/// An open session; closed when dropped.
pub(crate) struct Session {
    /// The session id that a build refers to.
    pub(crate) id: String,
    _served: AbortOnDropHandle<()>,
}

/// Opens a session. `logins` are keyed by the names under which engines look them up.
pub(crate) async fn open(
    way: &Transport,
    secrets: &[BuildSecret],
    logins: HashMap<String, DockerCredentials>,
    source: Arc<Source>,
) -> Result<Session, EngineError> {
    let id = fresh_id();
    let lost = |why: &dyn std::fmt::Display| {
        EngineError::new(
            EngineErrorKind::ConnectionLost,
            format!("the engine opens no session for a build: {why}"),
        )
    };
    let upgraded = tokio::time::timeout(OPENING, upgrade(way, &id, &source.key()))
        .await
        .map_err(|_| lost(&"no answer"))?
        .map_err(|error| lost(&error))?;
    let secrets = secrets.iter().map(|secret| (secret.id.clone(), secret.value.clone())).collect();
    let routes = Routes::new(HealthServer::new(HealthService))
        .add_service(SecretsServer::new(SecretStore(secrets)))
        .add_service(AuthServer::new(Logins(logins)))
        .add_service(files::Files(source));
    let served = tokio::spawn(serve(upgraded, routes));
    Ok(Session { id, _served: AbortOnDropHandle::new(served) })
}

/// Serves a connection until the engine ends it. The build itself reports failures.
async fn serve(stream: impl Read + Write + Send + Unpin + 'static, routes: Routes) {
    let mut connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // h2 closes a connection when unread small frames, counted as 256 bytes each, exceed half of
    // the connection window. An engine requests thousands of files at once, one frame each. The
    // window of the engine's single stream limits the number of frames that can queue up.
    connection.initial_connection_window_size(LARGEST_WINDOW);
    let service = TowerToHyperService::new(routes);
    let _ = write_coalescer::run(stream, |stream| connection.serve_connection(stream, service)).await;
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn upgrade(way: &Transport, id: &str, key: &str) -> Result<hyper::upgrade::Upgraded, Failure> {
    let stream = way.dial().await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the upgrade or with the connection.
    let _driver = tokio::spawn(connection.with_upgrades());
    let mut request = HttpRequest::post("/session")
        .header(HOST, "engine")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "h2c")
        .header("X-Docker-Expose-Session-Uuid", id)
        .header("X-Docker-Expose-Session-Name", "image-builder")
        .header("X-Docker-Expose-Session-Sharedkey", key);
    for method in METHODS {
        request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
    }
    let answer = sender.send_request(request.body(String::new())?).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(format!("it answered with status {}", answer.status().as_u16()).into());
    }
    Ok(hyper::upgrade::on(answer).await?)
}

/// An id that is unique across builds and processes.
fn fresh_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let hash = Sha256::digest(format!("{now} {} {count}", std::process::id()));
    hex::encode(&hash[..16])
}

/// Secrets that builds may request, by id.
struct SecretStore(BTreeMap<String, Vec<u8>>);

#[tonic::async_trait]
impl Secrets for SecretStore {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = &request.get_ref().id;
        // BuildKit continues without an optional secret only after "not found".
        let value = self.0.get(id).ok_or_else(|| Status::not_found(format!("no secret {id:?} was given")))?;
        Ok(Response::new(GetSecretResponse { data: value.clone() }))
    }
}

/// Credentials by registry.
struct Logins(HashMap<String, DockerCredentials>);

impl Logins {
    fn credentials(&self, host: &str) -> CredentialsResponse {
        // BuildKit passes the host that it connects to, but the Docker client stores the login
        // under another name.
        let key = if host == "registry-1.docker.io" { crate::engine::login_key("docker.io") } else { host };
        let login = self.0.get(key).cloned().unwrap_or_default();
        match login.identitytoken {
            Some(token) => CredentialsResponse { username: String::new(), secret: token },
            None => CredentialsResponse {
                username: login.username.unwrap_or_default(),
                secret: login.password.unwrap_or_default(),
            },
        }
    }
}

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        Ok(Response::new(self.credentials(&request.get_ref().host)))
    }

    // The engine fetches tokens itself, with the credentials, if the client does not.
    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unavailable("the engine fetches its tokens itself"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("the engine fetches its tokens itself"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("the engine fetches its tokens itself"))
    }
}

/// The engine checks the health every few seconds and aborts a build whose session does not
/// respond.
struct HealthService;

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("a session checks one connection"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("a session is checked when it is asked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: Option<&str>, password: Option<&str>, token: Option<&str>) -> DockerCredentials {
        DockerCredentials {
            username: user.map(str::to_owned),
            password: password.map(str::to_owned),
            identitytoken: token.map(str::to_owned),
            ..DockerCredentials::default()
        }
    }

    #[test]
    fn each_registry_gets_its_own_login() {
        let logins = Logins(HashMap::from([
            ("r.example:5000".to_owned(), login(Some("u"), Some("p"), None)),
            ("t.example".to_owned(), login(Some("u"), None, Some("token"))),
            ("https://index.docker.io/v1/".to_owned(), login(Some("hub"), Some("q"), None)),
        ]));
        for (host, user, secret) in [
            ("r.example:5000", "u", "p"),
            ("t.example", "", "token"),
            ("registry-1.docker.io", "hub", "q"),
            ("r.example", "", ""),
        ] {
            let given = logins.credentials(host);
            assert_eq!((given.username.as_str(), given.secret.as_str()), (user, secret), "{host}");
        }
    }

    #[tokio::test]
    async fn a_secret_that_was_not_given_is_not_found() {
        let kept = SecretStore(BTreeMap::from([("a".to_owned(), b"\0value".to_vec())]));
        let ask = |id: &str| Request::new(GetSecretRequest { id: id.to_owned(), ..Default::default() });
        let given = kept.get_secret(ask("a")).await.expect("it was given");
        assert_eq!(given.into_inner().data, b"\0value");
        let missing = kept.get_secret(ask("b")).await.expect_err("it was not given");
        assert_eq!(missing.code(), tonic::Code::NotFound);
    }
}

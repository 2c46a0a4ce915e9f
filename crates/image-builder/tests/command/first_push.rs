//! A registry like Quay and Artifactory, which answer 401 for a repository that does not exist yet
//! if the token lacks `push`.

use parking_lot::Mutex;
use std::io::Write as _;
use std::sync::Arc;

use crate::server::Server;
use crate::support::Tree;

#[test]
fn case_first_push_into_new_repository() {
    let scopes = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&scopes);
    let server = Server::start(move |mut stream, request| {
        let address = stream.local_addr().expect("bound");
        let (head, body) = if let Some((_, scope)) = request.line.split_once("scope=") {
            seen.lock().push(scope.to_owned());
            let token = if scope.contains("pull%2Cpush") { "push" } else { "pull" };
            ("200 OK".to_owned(), format!("{{\"token\": \"{token}\"}}"))
        } else if request.authorization == "Bearer push" {
            ("404 Not Found".to_owned(), r#"{"errors": [{"code": "NAME_UNKNOWN"}]}"#.to_owned())
        } else {
            let realm = format!("Bearer realm=\"http://{address}/token\",service=\"s\"");
            (format!("401 Unauthorized\r\nwww-authenticate: {realm}"), String::new())
        };
        let length = body.len();
        let _ =
            write!(stream, "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    });
    let mut tree = Tree::new();
    tree.write("science/new/sciserver-image.json", "{\"image\": \"new\", \"compat\": null}\n");
    tree.write("science/new/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    tree.commit();
    let repo = format!("{}/x", server.address);
    let plan =
        |more: &[&str]| tree.run(&[&["--since-published", "--dryrun", "--repo", &repo], more].concat());
    let run = plan(&["--push"]).code(0);
    assert!(run.stdout.contains("includes 1 science build"), "{run:?}");
    let asked = std::mem::take(&mut *scopes.lock());
    assert!(!asked.is_empty() && asked.iter().all(|scope| scope.contains("pull%2Cpush")), "{asked:?}");
    // Without `--push` only read access is requested, and a 401 does not count as absence.
    let run = plan(&[]).code(5);
    assert!(run.stderr.contains(&format!("no credentials for {}", server.address)), "{run:?}");
    let asked = std::mem::take(&mut *scopes.lock());
    assert!(!asked.is_empty() && asked.iter().all(|scope| !scope.contains("push")), "{asked:?}");
}

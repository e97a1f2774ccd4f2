//! The beginning of a server's end, as a load balancer sees it.

use std::time::Duration;

use server::Limits;

use crate::support::{TestServer, limits, settings};

#[tokio::test]
async fn server_that_is_about_to_end_is_not_ready_but_works() {
    let mut server = TestServer::start_with(Limits {
        notice: Duration::from_secs(5),
        ..limits()
    })
    .await;
    let (room, _) = server.open_room(&settings(2)).await;
    assert_eq!(server.get("/readyz").await.status, 200);
    server.ask_to_end();
    loop {
        let answer = server.get("/readyz").await;
        if answer.status == 503 {
            assert_eq!(answer.text(), "ending\n");
            break;
        }
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    server.join(&room, "Ada").await;
    server.ended().await;
}

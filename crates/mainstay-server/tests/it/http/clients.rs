//! Who is connected over RESP, as HTTP tells it.

use mainstay_server::resp::{RespConfig, RespServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::support::{api, get};

/// Sends a command and waits for the first bytes of its reply.
async fn send(stream: &mut TcpStream, command: &str) {
    stream.write_all(command.as_bytes()).await.unwrap();
    assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
}

#[tokio::test]
async fn clients_are_listed_with_what_they_said_and_did() {
    let api = api().await;
    get(&api, "/v1/clients").await.problem(404);
    let config = RespConfig { listen: "127.0.0.1:0".to_owned(), ..RespConfig::default() };
    let server = RespServer::bind(config, api.storage().clone()).await.unwrap();
    let (address, cancel) = (server.local_addr(), CancellationToken::new());
    api.show_clients(server.roster());
    let running = tokio::spawn(server.run(cancel.clone()));

    let mut first = TcpStream::connect(address).await.unwrap();
    send(&mut first, "CLIENT SETINFO lib-name redis-py\r\n").await;
    send(&mut first, "CLIENT SETINFO lib-ver 8.0.1\r\n").await;
    send(&mut first, "GET k\r\n").await;
    let mut second = TcpStream::connect(address).await.unwrap();
    send(&mut second, "PING\r\n").await;

    let all = get(&api, "/v1/clients").await.json();
    assert_eq!((&all["connected"], all["clients"].as_array().unwrap().len()), (&2.into(), 2));
    let told = &all["clients"][0];
    assert_eq!((&told["library"], &told["library_version"]), (&"redis-py".into(), &"8.0.1".into()));
    assert_eq!((&told["commands"], &told["last_command"]), (&3.into(), &"get".into()));
    assert_eq!(told["address"], first.local_addr().unwrap().to_string());

    let page = get(&api, "/v1/clients?limit=1").await.json();
    assert_eq!((&page["next"], &page["clients"][0]["id"]), (&told["id"], &told["id"]));
    let rest = get(&api, &format!("/v1/clients?after={}", page["next"])).await.json();
    assert_eq!((rest["clients"].as_array().unwrap().len(), &rest["next"]), (1, &().into()));
    get(&api, "/v1/clients?after=x").await.problem(400);

    drop((first, second));
    cancel.cancel();
    running.await.unwrap();
}

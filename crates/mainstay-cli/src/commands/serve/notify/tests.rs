use std::{cell::Cell, os::linux::net::SocketAddrExt, time::Duration};

use super::*;

/// A manager that listens at an abstract address of its own.
fn manager(name: &str) -> (UnixDatagram, String) {
    let name = format!("mainstay-notify-{}-{name}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    (socket, format!("@{name}"))
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn notify(place: &str, watchdog: Option<(&str, &str)>) -> Notify {
    let variable = |name: &str| match (name, watchdog) {
        ("NOTIFY_SOCKET", _) => Some(place.to_owned()),
        ("WATCHDOG_USEC", Some((micros, _))) => Some(micros.to_owned()),
        ("WATCHDOG_PID", Some((_, pid))) => Some(pid.to_owned()),
        _ => None,
    };
    Notify::of(variable, 7)
}

#[tokio::test]
async fn each_turn_of_its_life_is_told() {
    let (socket, place) = manager("turns");
    let notify = notify(&place, None);
    notify.ready().await;
    assert_eq!(heard(&socket), "READY=1");
    notify.reloading().await;
    let reloading = heard(&socket);
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(micros.parse::<u64>().unwrap() > 0, "{reloading}");
    notify.stopping("SIGTERM").await;
    assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=Stopping: SIGTERM");
}

#[tokio::test]
async fn signs_of_life_come_while_there_is_a_pulse_and_no_longer() {
    let (socket, place) = manager("pulse");
    let notify = notify(&place, Some(("3000", "7")));
    let beats = Cell::new(0);
    let pulse = async || {
        beats.set(beats.get() + 1);
        match beats.get() {
            1 | 2 => Some("all is\nwell".to_owned()),
            3 => Some("redis is down".to_owned()),
            4 => std::future::pending().await,
            5 => None,
            _ => Some("well again".to_owned()),
        }
    };
    let listen = async {
        let told = |socket: &UnixDatagram| {
            socket.set_nonblocking(true).unwrap();
            let mut buffer = [0; 4096];
            socket
                .recv(&mut buffer)
                .ok()
                .map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())
        };
        let mut all = Vec::new();
        while all.len() < 4 {
            match told(&socket) {
                Some(text) => all.push((beats.get(), text)),
                None => tokio::time::sleep(Duration::from_micros(200)).await,
            }
        }
        all
    };
    let all = tokio::select! {
        never = notify.watch(pulse) => match never {},
        all = listen => all,
    };
    let texts: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "WATCHDOG=1\nSTATUS=all is well",
            "WATCHDOG=1",
            "WATCHDOG=1\nSTATUS=redis is down",
            "WATCHDOG=1\nSTATUS=well again"
        ]
    );
    assert!(all[3].0 >= 6, "no sign of life for the fourth and the fifth beat");
}

#[tokio::test]
async fn a_watchdog_of_another_process_and_a_place_that_is_none_are_left_alone() {
    let (_socket, place) = manager("other");
    assert_eq!(notify(&place, Some(("1000000", "8"))).watchdog, None);
    assert_eq!(notify(&place, Some(("0", "7"))).watchdog, None);
    assert_eq!(notify(&place, Some(("soon", "7"))).watchdog, None);
    let second = Some(Duration::from_secs(1));
    assert_eq!(notify(&place, Some(("1000000", "7"))).watchdog, second);
    for nowhere in ["vsock:2:1", "", "/nowhere/at/all", "@nobody-listens-here"] {
        let notify = notify(nowhere, None);
        assert!(notify.socket.is_none(), "{nowhere}");
        notify.ready().await;
    }
}

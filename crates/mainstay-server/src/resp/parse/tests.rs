use proptest::prelude::*;

use super::*;

const LIMITS: Limits =
    Limits { args_max: 1 << 20, bulk_max: 1 << 20, frame_max: 1 << 21, unauthenticated: false };

type Outcome = (Vec<Vec<Bytes>>, Option<ProtocolError>);

/// Feeds the chunks one after another, as a socket would.
fn feed(chunks: &[&[u8]], limits: &Limits) -> Outcome {
    let (mut parser, mut buffer) = (Parser::new(), BytesMut::new());
    let (mut commands, mut args) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match parser.take(&mut buffer, limits, &mut args) {
                Ok(true) => commands.push(args.clone()),
                Ok(false) => break,
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fn commands(input: &[u8]) -> Vec<Vec<Bytes>> {
    let (commands, error) = feed(&[input], &LIMITS);
    assert_eq!(error, None, "{input:?}");
    commands
}

fn error(input: &[u8], limits: &Limits) -> String {
    feed(&[input], limits).1.map_or_else(|| "none".to_owned(), |error| error.to_string())
}

#[test]
fn multibulk_and_inline_commands_stand_side_by_side() {
    let got = commands(
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n\r\n*0\r\n*-1\r\nset a  b\n*1\r\n$0\r\n\r\n",
    );
    let expected: Vec<Vec<&str>> =
        vec![vec!["GET", "k"], vec!["PING"], vec!["set", "a", "b"], vec![""]];
    assert_eq!(got, expected);
}

#[test]
fn arguments_are_not_copied() {
    let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n"[..]);
    let place = buffer.as_ptr() as usize;
    let mut args = Vec::new();
    assert!(Parser::new().take(&mut buffer, &LIMITS, &mut args).unwrap());
    assert_eq!(args[1].as_ptr() as usize, place + 17);
}

#[test]
fn inline_quotes_follow_redis() {
    for (line, expected) in [
        ("set k \"a b\"\r\n", vec!["set", "k", "a b"]),
        ("x \"\\x41\\n\\r\\t\\q\\\"\"\r\n", vec!["x", "A\n\r\tq\""]),
        ("x 'a\\'b\\n'\r\n", vec!["x", "a'b\\n"]),
        ("x \"\" ''\r\n", vec!["x", "", ""]),
        ("foo\"bar\"\r\n", vec!["foobar"]),
        ("\t x \t\r\n", vec!["x"]),
    ] {
        assert_eq!(commands(line.as_bytes()), vec![expected], "{line:?}");
    }
    for line in ["x \"a\r\n", "x 'a\r\n", "x \"a\"b\r\n", "x 'a'b\r\n"] {
        assert_eq!(
            error(line.as_bytes(), &LIMITS),
            "Protocol error: unbalanced quotes in request",
            "{line:?}"
        );
    }
}

#[test]
fn refusals_have_redis_words() {
    let long = [b'a'; LINE_MAX + 1];
    let endless = |start: &[u8]| [start, &long].concat();
    for (input, words) in [
        (b"*x\r\n".to_vec(), "invalid multibulk length"),
        (b"*1048577\r\n".to_vec(), "invalid multibulk length, over resp.args_max"),
        (b"*99999999999999999999\r\n".to_vec(), "invalid multibulk length"),
        (b"*1\r\n+OK\r\n".to_vec(), "expected '$', got '+'"),
        (b"*1\r\n\r\n".to_vec(), "expected '$', got ' '"),
        (b"*1\r\n$-1\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$x\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$01\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$1048577\r\n".to_vec(), "invalid bulk length, over resp.bulk_max"),
        (b"*1\r\n$1\r\nabc".to_vec(), "invalid bulk length"),
        (endless(b"*"), "too big mbulk count string"),
        (endless(b"*1\r\n$"), "too big bulk count string"),
        (endless(b""), "too big inline request"),
    ] {
        assert_eq!(error(&input, &LIMITS), format!("Protocol error: {words}"));
    }
    let narrow = Limits { frame_max: 100, ..LIMITS };
    assert_eq!(error(b"*2\r\n$90\r\n", &narrow), "none");
    assert_eq!(
        error(b"*2\r\n$95\r\n", &narrow),
        "Protocol error: too big request, over resp.frame_max"
    );
}

#[test]
fn before_authentication_less_is_taken() {
    let limits = Limits::UNAUTHENTICATED;
    assert_eq!(error(b"*10\r\n$16384\r\n", &limits), "none");
    assert_eq!(error(b"*11\r\n", &limits), "Protocol error: unauthenticated multibulk length");
    assert_eq!(error(b"*1\r\n$16385\r\n", &limits), "Protocol error: unauthenticated bulk length");
}

#[test]
fn a_declared_count_or_length_allocates_nothing() {
    let (mut parser, mut buffer) =
        (Parser::new(), BytesMut::from(&b"*1048576\r\n$1048576\r\nx"[..]));
    let capacity = buffer.capacity();
    let mut args = Vec::new();
    assert!(!parser.take(&mut buffer, &LIMITS, &mut args).unwrap());
    assert_eq!((parser.ranges.capacity(), args.capacity(), buffer.capacity()), (0, 0, capacity));
}

#[test]
fn decimals_are_canonical() {
    for (text, number) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("", None),
        ("-", None),
        ("-0", None),
        ("+1", None),
        ("01", None),
        ("1 ", None),
        ("1a", None),
    ] {
        assert_eq!(decimal(text.as_bytes()), number, "{text:?}");
    }
}

/// Bytes that come near the grammar.
fn near_misses() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "*1\r\n", "*2\r\n", "*3\r\n", "$1\r\n", "$3\r\n", "$0\r\n", "GET", "a", "\r\n", "\r", "\n",
        " ", "\"", "'", "\\x4", "*", "$", "-1", "9", "\0", "ping\r\n",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_split_parses_the_same(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream = Vec::new();
        for args in &requests {
            stream.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
            for arg in args {
                stream.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                stream.extend_from_slice(arg);
                stream.extend_from_slice(b"\r\n");
            }
        }
        let (got, error) = feed(&split(&stream, &cuts), &LIMITS);
        prop_assert_eq!(error, None);
        prop_assert_eq!(got, requests);
    }

    #[test]
    fn garbage_never_panics_and_splits_alike(
        stream in prop_oneof![near_misses(), prop::collection::vec(any::<u8>(), 0..200)],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        prop_assert_eq!(feed(&split(&stream, &cuts), &LIMITS), feed(&[&stream], &LIMITS));
    }
}

fn split<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

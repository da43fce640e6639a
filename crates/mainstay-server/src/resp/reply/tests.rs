use super::*;

fn written(protocol: Protocol, write: impl FnOnce(&mut Output)) -> String {
    let mut output = Output::new();
    output.set_protocol(protocol);
    write(&mut output);
    let length = output.remaining();
    String::from_utf8(output.copy_to_bytes(length).to_vec()).unwrap()
}

type Write = fn(&mut Output);

#[test]
fn each_type_has_its_form_in_both_versions() {
    let table: [(Write, &str, &str); 14] = [
        (|out| out.ok(), "+OK\r\n", "+OK\r\n"),
        (|out| out.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        (|out| out.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        (|out| out.bulk(b"0123456789"), "$10\r\n0123456789\r\n", "$10\r\n0123456789\r\n"),
        (|out| out.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
        (|out| out.null(), "$-1\r\n", "_\r\n"),
        (|out| out.array(12), "*12\r\n", "*12\r\n"),
        (|out| out.map(2), "*4\r\n", "%2\r\n"),
        (|out| out.set(2), "*2\r\n", "~2\r\n"),
        (|out| out.push(2), "*2\r\n", ">2\r\n"),
        (|out| out.boolean(true), ":1\r\n", "#t\r\n"),
        (|out| out.double(0.5), "$3\r\n0.5\r\n", ",0.5\r\n"),
        (|out| out.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (|out| out.verbatim("hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
    ];
    for (write, resp2, resp3) in table {
        assert_eq!(written(Protocol::Resp2, write), resp2);
        assert_eq!(written(Protocol::Resp3, write), resp3);
    }
}

#[test]
fn a_large_value_is_sent_from_where_it_lies_and_in_order() {
    let large = Bytes::from(vec![b'x'; COPY_MAX]);
    let mut output = Output::new();
    output.ok();
    output.bulk_shared(large.clone());
    output.bulk_shared(Bytes::from_static(b"small"));
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(output.chunks_vectored(&mut slices), 3);
    assert_eq!(slices[1].as_ptr(), large.as_ptr());
    let expected = [b"+OK\r\n$16384\r\n", &large[..], b"\r\n$5\r\nsmall\r\n"].concat();
    // Taken in steps that do not fall on the seams.
    let mut got = Vec::new();
    while output.has_remaining() {
        let step = output.remaining().min(7_001);
        got.extend_from_slice(&output.copy_to_bytes(step));
    }
    assert!(got == expected);
}

#[test]
fn what_is_written_while_muted_is_not_sent() {
    let text = written(Protocol::Resp2, |out| {
        out.set_muted(true);
        out.bulk_shared(Bytes::from(vec![0; COPY_MAX]));
        out.array(3);
        out.set_muted(false);
        out.ok();
    });
    assert_eq!(text, "+OK\r\n");
}

#[test]
fn what_is_appended_comes_behind_what_was_written() {
    for length in [1, COPY_MAX, 3 * COPY_MAX] {
        let mut other = Output::new();
        other.bulk_shared(Bytes::from(vec![b'x'; length]));
        other.integer(7);
        let mut out = Output::new();
        out.ok();
        out.append(other);
        out.ok();
        let whole = format!("+OK\r\n${length}\r\n{}\r\n:7\r\n+OK\r\n", "x".repeat(length));
        assert_eq!(out.remaining(), whole.len());
        assert_eq!(out.copy_to_bytes(whole.len()), whole);
    }
}

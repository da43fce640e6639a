use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;

use super::{
    interpreter::{self, Host, Inputs},
    known,
    pool::Pool,
    program::Program,
    value::Value,
};

/// GET and SET on a map; ECHO answers what it is told; anything else is unknown.
#[derive(Debug, Default)]
struct Fake(HashMap<Bytes, Bytes>);

impl Host for Fake {
    fn call(&mut self, words: Vec<Bytes>) -> Value {
        let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
        match words[..] {
            [b"get", key] => self.0.get(key).map_or(Value::Nil, |value| Value::Bulk(value.clone())),
            [b"set", key, value] => {
                self.0.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                Value::ok()
            }
            [b"seven"] => Value::Integer(7),
            [b"many"] => Value::Array(vec![Value::Nil, Value::Integer(1), Value::ok()]),
            _ => Value::error("ERR Unknown Redis command called from script"),
        }
    }
}

fn program(text: &str) -> Program {
    Program::new(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn run(text: &str) -> Value {
    let inputs = Inputs {
        keys: vec![Bytes::from("k1"), Bytes::from("k2")],
        argv: vec![Bytes::from("a1")],
        version: "7.4.1",
    };
    let stop = Arc::new(AtomicBool::new(false));
    interpreter::run(&program(text), &inputs, Fake::default(), &stop).0
}

fn bulk(text: &str) -> Value {
    Value::Bulk(Bytes::copy_from_slice(text.as_bytes()))
}

/// The error of a script without its SHA-1.
fn error(text: &str) -> String {
    let Value::Error(error) = run(text) else { return format!("no error: {:?}", run(text)) };
    error.replace(&format!(" script: {}, on", program(text).sha), ", on")
}

#[test]
fn values_are_converted_as_redis_does() {
    assert_eq!(run("return 3.99"), Value::Integer(3));
    assert_eq!(run("return -1.5"), Value::Integer(-1));
    assert_eq!(run("return 'a\\0b'"), bulk("a\0b"));
    assert_eq!(run("return true"), Value::Integer(1));
    for nil in ["return false", "return nil", "", "return function() end", "return ipairs"] {
        assert_eq!(run(nil), Value::Nil, "{nil}");
    }
    let two = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
    assert_eq!(run("return {1, 2, nil, 4}"), two);
    assert_eq!(run("return {ok = 'FINE'}"), Value::Status(Bytes::from("FINE")));
    assert_eq!(run("return redis.status_reply('FINE')"), Value::Status(Bytes::from("FINE")));
    assert_eq!(run("return {err = 'MY ERR'}"), Value::error("MY ERR"));
    assert_eq!(run("return redis.error_reply('MY ERR')"), Value::error("MY ERR"));
    assert_eq!(run("return redis.error_reply('-MY ERR')"), Value::error("MY ERR"));
    assert_eq!(run("return redis.error_reply('oneword')"), Value::error("ERR oneword"));
    assert_eq!(run("return {double = 3.5}"), Value::Double(3.5));
    let nested = Value::Array(vec![Value::Array(vec![bulk("k1"), bulk("k2")]), bulk("a1")]);
    assert_eq!(run("return {KEYS, ARGV[1], nil}"), nested);
    assert_eq!(
        run("local t = {} t[1] = t return t").clone(),
        run("local t = {} t[1] = t return t")
    );
}

#[test]
fn replies_reach_lua_as_redis_gives_them() {
    assert_eq!(run("return type(redis.call('get', 'none'))"), bulk("boolean"));
    assert_eq!(run("return redis.call('set', 'k', 'v').ok"), bulk("OK"));
    assert_eq!(run("return redis.call('seven') + 1"), Value::Integer(8));
    let read = run("local t = redis.call('many') return {tostring(t[1]), t[2], t[3]}");
    assert_eq!(read, Value::Array(vec![bulk("false"), Value::Integer(1), Value::ok()]));
    for (number, text) in
        [("3.0", "3"), ("0.1", "0.10000000000000001"), ("1e20", "1e+20"), ("-7", "-7")]
    {
        let script = format!("redis.call('set', 'k', {number}) return redis.call('get', 'k')");
        assert_eq!(run(&script), bulk(text));
    }
    assert_eq!(run("return redis.sha1hex('a')"), bulk("86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"));
}

#[test]
fn errors_read_as_in_redis() {
    for (script, expected) in [
        (
            "return foo",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'foo', on @user_script:1.",
        ),
        ("\n\nerror('x')", "ERR user_script:3: x, on @user_script:3."),
        ("error({err = 'MY boom'})", "MY boom, on @user_script:1."),
        ("x = 1", "ERR user_script:1: Attempt to modify a readonly table, on @user_script:1."),
        (
            "string.rep = 1",
            "ERR user_script:1: Attempt to modify a readonly table, on @user_script:1.",
        ),
        (
            "redis.call = 1",
            "ERR user_script:1: Attempt to modify a readonly table, on @user_script:1.",
        ),
        (
            "return redis.call('nosuch')",
            "ERR Unknown Redis command called from script, on @user_script:1.",
        ),
        (
            "return redis.call()",
            "ERR Please specify at least one argument for this redis lib call, on @user_script:1.",
        ),
        (
            "return redis.call('get', {})",
            "ERR Lua redis lib command arguments must be strings or integers, on @user_script:1.",
        ),
        ("return redis.sha1hex()", "ERR wrong number of arguments, on @user_script:1."),
        (
            "return nil .. 'a'",
            "ERR user_script:1: attempt to concatenate a nil value, on @user_script:1.",
        ),
        (
            "foo bar",
            "ERR Error compiling script (new function): user_script:1: '=' expected near 'bar'",
        ),
    ] {
        assert_eq!(error(script), expected, "{script}");
    }
    assert_eq!(
        run("return redis.pcall('no')"),
        Value::error("ERR Unknown Redis command called from script")
    );
    let caught = run("local ok, e = pcall(redis.call, 'no') return {tostring(ok), type(e), e}");
    let words = bulk("ERR Unknown Redis command called from script");
    assert_eq!(caught, Value::Array(vec![bulk("false"), bulk("string"), words]));
    let caught = run("local ok, e = pcall(error, 'x') return {type(e), e}");
    assert_eq!(caught, Value::Array(vec![bulk("string"), bulk("x")]));
}

#[test]
fn the_sandbox_has_no_way_out() {
    for name in [
        "os",
        "io",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "require",
        "package",
        "module",
        "debug",
        "collectgarbage",
        "gcinfo",
        "newproxy",
        "print",
        "getfenv",
        "setfenv",
        "coroutine",
    ] {
        let expected = format!("nonexistent global variable '{name}'");
        assert!(error(&format!("return {name}")).contains(&expected), "{name}");
        assert!(error(&format!("return _G.{name}")).contains(&expected), "{name}");
    }
    for script in [
        "return string.dump(function() end)",
        "return ('').dump(function() end)",
        "getmetatable('').__index = nil",
        "setmetatable(_G, {})",
        "setmetatable(redis, {})",
        "getmetatable(_G).__index = nil",
        "_G.pcall = nil",
        "for name in pairs(redis) do end redis.call.x = 1",
    ] {
        assert!(matches!(run(script), Value::Error(_)), "{script}");
    }
    assert_eq!(run("return tostring(getmetatable(''))"), bulk("false"));
    // Compiled Lua is not read.
    let stop = Arc::new(AtomicBool::new(false));
    let compiled = Program::new(Bytes::from_static(b"\x1bLuaQ\0")).unwrap();
    let (value, host) = interpreter::run(&compiled, &Inputs::default(), Fake::default(), &stop);
    assert!(matches!(value, Value::Error(text) if text.starts_with("ERR Error compiling")));
    assert!(host.is_none());
    // Every run has numbers of its own, the same ones.
    let random = "return {math.random(1000), math.random(1000), math.random(5, 5)}";
    assert_eq!(run(random), run(random));
}

#[test]
fn what_lua_would_trust_is_bounded() {
    for (script, expected) in [
        ("return string.find('a', string.rep('a?', 1000))", "pattern too long"),
        ("return ('a'):gsub(string.rep('(a?', 1000), '')", "pattern too long"),
        ("for _ in ('a'):gmatch(string.rep('a?', 1000)) do end", "pattern too long"),
        ("return {unpack({}, 1, 2^31 - 1)}", "too many results to unpack"),
        ("return {unpack({}, -2^31, 2^31 - 1)}", "too many results to unpack"),
        ("return {unpack({}, 0/0, 1)}", "too many results to unpack"),
        ("return {unpack({}, -2^40, -2^40)}", "too many results to unpack"),
        ("return table.concat({unpack({}, 1, 8000)})", "too many results to unpack"),
    ] {
        assert!(error(script).contains(expected), "{script}: {}", error(script));
    }
    let found = "return {('x'):rep(2000):find(('x'):rep(1000), 1, true), ('a1b'):match('%d'), (('aa'):gsub('a', 'b'))}";
    let expected = vec![Value::Integer(1), bulk("1"), bulk("bb")];
    assert_eq!(run(found), Value::Array(expected));
    let list = "local t = {} for i = 1, 6000 do t[i] = i end return {select('#', unpack(t)), (select(3, unpack(t, 2, 4)))}";
    assert_eq!(run(list), Value::Array(vec![Value::Integer(6000), Value::Integer(4)]));
}

async fn timed(text: &str) -> (String, bool) {
    let (value, host) = Pool::default()
        .run(program(text), Inputs::default(), Fake::default, Duration::from_millis(100))
        .await
        .unwrap();
    let Value::Error(error) = value else { return (format!("{value:?}"), host.is_some()) };
    (error, host.is_some())
}

#[tokio::test]
async fn a_script_without_an_end_is_stopped_whatever_it_catches() {
    for script in [
        "while true do end",
        "redis.call('set', 'k', 'v') while true do redis.call('seven') end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "local function f() return pcall(f) end while true do f() end",
        "setmetatable({}, {__index = function(t, k) while true do end end}).x = nil; local a = setmetatable({}, {__index = function() while true do end end}).x",
        "table.sort({1, 2, 3}, function() while true do end end)",
        "string.gsub('aaa', 'a', function() while true do end end)",
    ] {
        let (error, finished) = timed(script).await;
        assert!(
            error.starts_with("ERR Script killed by user with SCRIPT KILL..."),
            "{script}: {error}"
        );
        assert!(!finished, "{script}");
    }
}

#[tokio::test]
async fn a_script_that_allocates_without_end_is_stopped() {
    for script in [
        "local s = 'x' while true do s = s .. s end",
        "return string.rep('x', 2^30)",
        "local t = {} while true do t[#t + 1] = string.rep('x', 65536) .. #t end",
        "pcall(function() local s = 'x' while true do s = s .. s end end) return 'went on'",
        "local t = {} for i = 1, 1e9 do t[i] = {i} end",
    ] {
        let (error, finished) = timed(script).await;
        let ended =
            error.starts_with("ERR not enough memory") || error.starts_with("ERR Script killed");
        assert!(ended, "{script}: {error}");
        assert!(!finished, "{script}");
    }
    let deep = "local function f() return 1 + f() end return f()";
    assert!(timed(deep).await.0.contains("stack overflow"), "{:?}", timed(deep).await);
}

#[tokio::test]
async fn a_full_pool_refuses_in_time() {
    let pool = Pool::default();
    let busy = || {
        let program = program("while true do end");
        pool.run(program, Inputs::default(), Fake::default, Duration::from_secs(30))
    };
    let quick =
        pool.run(program("return 1"), Inputs::default(), Fake::default, Duration::from_millis(5));
    let (one, two, three, four, refused) = tokio::join!(busy(), busy(), busy(), busy(), quick);
    for ended in [one, two, three, four] {
        assert!(ended.unwrap().1.is_none());
    }
    assert_eq!(refused.unwrap_err(), super::Stopped::Busy);
    let (value, host) = pool
        .run(program("return 1"), Inputs::default(), Fake::default, Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!((value, host.is_some()), (Value::Integer(1), true));
}

#[test]
fn a_first_line_may_declare_flags() {
    assert!(program("#!lua flags=no-writes\nreturn 1").no_writes);
    assert_eq!(error("#!lua\nerror('x')"), "ERR user_script:2: x, on @user_script:2.");
    for (text, expected) in [
        ("#!js\n", "ERR Unexpected engine in script shebang: js"),
        ("#!lua name=x\n", "ERR Unknown lua shebang option: name=x"),
        ("#!lua flags=odd\n", "ERR Unexpected flag in script shebang: odd"),
    ] {
        assert_eq!(Program::new(Bytes::from(text)).unwrap_err(), expected);
    }
}

#[test]
fn the_well_known_scripts_compile_and_are_named_once() {
    let mut names: Vec<&str> = Vec::new();
    for (known, shas) in known::KNOWN {
        let program = program(known.text);
        interpreter::compile(&program).unwrap();
        names.extend(*shas);
    }
    assert!(names.iter().all(|sha| sha.len() == 40 && *sha == sha.to_ascii_lowercase()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn numbers_become_bytes_and_bytes_numbers() {
    let packed = "local b = struct.pack('>BI4hc2s', 77, 4294967295, -2, 'abc', 'z')";
    assert_eq!(run(&format!("{packed} return #b")), Value::Integer(11));
    let read = "local x, y, z, c, s, at = struct.unpack('>BI4hc2s', b)";
    let all = "return {x, y == 4294967295 and 1 or 0, z, c, s, at}";
    let expected = [77, 1, -2].map(Value::Integer);
    let texts = [bulk("ab"), bulk("z"), Value::Integer(12)];
    assert_eq!(run(&format!("{packed} {read} {all}")), Value::Array([expected, texts].concat()));
    assert_eq!(run("return struct.unpack('<I2', 'xx\\1\\2', 3)"), Value::Integer(513));
    assert_eq!(run("return struct.size('>I4I4B')"), Value::Integer(9));
    for wrong in [
        "struct.unpack('I4', 'abc')",
        "struct.pack('q', 1)",
        "struct.pack('I9', 1)",
        "struct.unpack('B', 'a', 0)",
    ] {
        assert!(
            error(&format!("return {wrong}")).starts_with("ERR "),
            "{}",
            error(&format!("return {wrong}"))
        );
    }
}

//! Which error of MySQL and MariaDB means what: their numbers, to kind and effect.
//! It must not know which operation failed, only whether it could have been applied.

use mysql_async::{DriverError, Error as MysqlError, IoError, TlsError};

use super::super::common::{Intent, one_line};
use crate::error::{Effect, Error, ErrorKind};

#[cfg(test)]
mod tests;

/// `Column cannot be null`: how a statement says that the epoch is not the one that it was given.
pub(super) const EPOCH_MOVED: u16 = 1048;

/// `Value is out of range`: how a statement says that what guards it does not hold any more.
pub(super) const OVERTAKEN: u16 = 1690;

/// An error of the driver in the library's terms.
pub(super) fn error_of(error: &MysqlError, intent: Intent) -> Error {
    let (kind, effect, message) = match error {
        MysqlError::Server(server) => {
            let kind = kind_of(server.code);
            let effect = if in_step(error) { Effect::None } else { intent.lost() };
            let text = format!("{} ({}){}", server.message, server.code, hint_of(server.code));
            (kind, effect, text)
        }
        MysqlError::Driver(DriverError::PacketTooLarge) => {
            (ErrorKind::TooLarge, Effect::None, "over the server's max_allowed_packet".to_owned())
        }
        MysqlError::Io(IoError::Io(io)) => {
            (client_kind(error), intent.lost(), format!("connection: {io}"))
        }
        other => (client_kind(other), intent.lost(), other.to_string()),
    };
    Error::new(kind, one_line(&message)).with_effect(effect)
}

/// Whether the connection is still in step after this error: the server answered, undid the statement, and stays.
pub(super) fn in_step(error: &MysqlError) -> bool {
    match error {
        MysqlError::Server(server) => !matches!(
            // Its commit failed or its end came; or it forgot the statements that were prepared.
            server.code,
            1053 | 1079 | 1152 | 1156..=1161 | 1180 | 1184 | 1243 | 1927 | 2006 | 2013 | 4031
        ),
        _ => false,
    }
}

/// Whether the server said this number.
pub(super) fn is(error: &MysqlError, code: u16) -> bool {
    matches!(error, MysqlError::Server(server) if server.code == code)
}

/// The kind of an error number.
pub(super) fn kind_of(code: u16) -> ErrorKind {
    match code {
        1079
        | 1152
        | 1156
        | 1158..=1161
        | 1184
        | 1189
        | 1190
        | 1927
        | 2002
        | 2003
        | 2006
        | 2013
        | 4031 => ErrorKind::Disconnected,
        1047 | 1053 | 1077 | 3169 => ErrorKind::NotReady,
        1290 | 1792 | 1836 | 3100 => ErrorKind::WrongNode,
        1021 | 1114 => ErrorKind::StorageFull,
        1026 | 1030 | 1037 | 1038 | 1040 | 1041 | 1135 | 1180 | 1203 | 1205 | 1206 | 1226
        | 1317 | 1461 | 1637 | 1969 | 3024 | 3572 => ErrorKind::Overloaded,
        1020 | 1213 | 1614 | 1615 => ErrorKind::Conflict,
        1044 | 1045 | 1129 | 1130 | 1142 | 1143 | 1227 | 1251 | 1370 | 1524 | 1698 | 1820
        | 1862 | 3118 | 3159 | 3955 | 4151 => ErrorKind::Forbidden,
        1046 | 1049 | 1050 | 1054 | 1064 | 1146 | 1235 | 1243 | 1286 | 1295 | 1418 | 1665 => {
            ErrorKind::Misconfigured
        }
        1118 | 1153 | 1301 | 1406 => ErrorKind::TooLarge,
        EPOCH_MOVED | 1062 | 1264 | 1292 | 1300 | 1364 | 1366 | 1451 | 1452 | 1644 | OVERTAKEN
        | 4025 => ErrorKind::InvalidArgument,
        1033..=1035 | 1194 | 1195 | 1712 | 1877 | 1932 => ErrorKind::Corrupt,
        _ => ErrorKind::NotReady,
    }
}

fn hint_of(code: u16) -> &'static str {
    match code {
        1049 => ": create the database, or correct its name in the URL",
        1142 => {
            ": grant the user what it lacks (CREATE to create the tables, else SELECT, INSERT, UPDATE, DELETE)"
        }
        1153 => ": raise max_allowed_packet of the server",
        1665 => ": set binlog_format to ROW or MIXED",
        _ => "",
    }
}

/// An error that no server sent.
fn client_kind(error: &MysqlError) -> ErrorKind {
    match error {
        MysqlError::Io(IoError::Tls(TlsError::Tls(rustls::Error::InvalidCertificate(_)))) => {
            ErrorKind::Forbidden
        }
        MysqlError::Io(IoError::Io(io)) if is_certificate(io) => ErrorKind::Forbidden,
        MysqlError::Io(_) => ErrorKind::Disconnected,
        MysqlError::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled
            | DriverError::NoClientSslFlagFromServer
            | DriverError::NoKeyFound,
        )
        | MysqlError::Url(_) => ErrorKind::Misconfigured,
        MysqlError::Driver(
            DriverError::StmtParamsMismatch { .. }
            | DriverError::StmtParamsNumberExceedsLimit { .. }
            | DriverError::MixedParams
            | DriverError::Params(_)
            | DriverError::NestedTransaction,
        ) => ErrorKind::Internal,
        MysqlError::Driver(_) | MysqlError::Other(_) | MysqlError::Server(_) => {
            ErrorKind::Disconnected
        }
    }
}

fn is_certificate(io: &std::io::Error) -> bool {
    let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

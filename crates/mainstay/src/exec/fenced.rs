//! Which writes may stand under a fence, and where: on one record that keeps the highest token beside its values.
//! It must not know how a record looks at it.

use super::Road;
use crate::{
    error::{Error, ErrorKind, Result},
    op::{Op, OpClass},
    route::Shape,
};

/// # Errors
/// `InvalidArgument` for what is no write; `Unsupported` where no record looks at the fence in the statement that commits.
pub(super) fn check(road: &Road, op: &Op) -> Result<()> {
    let Op::Fenced { write, .. } = op else { return Ok(()) };
    if write.class() == OpClass::Read
        || matches!(**write, Op::Fenced { .. } | Op::Copy(_) | Op::Record(_) | Op::Lock(_))
    {
        let message = format!("`{}` is not a write that can be fenced", write.name());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let Some(route) = road.table.of_op(write) else {
        let message = "a fenced write needs keys of one route: its fence stands beside them";
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    match route.shape {
        Shape::Record { record, .. } if road.nodes[record].capabilities().locks => Ok(()),
        _ => {
            let message = format!(
                "the route `{}` cannot fence writes: only a record looks at the token in the statement that commits",
                route.label
            );
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

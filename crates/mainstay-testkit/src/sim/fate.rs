//! What becomes of one message on its way: how long it takes, and whether it or its answer is lost.
//! It must not know what it says, nor to whom.

use std::time::Duration;

use mainstay::{Effect, Error, ErrorKind, Op, OpClass};

use super::{dice::Dice, plan::Noise};

/// What becomes of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) there: Duration,
    pub(super) back: Duration,
    pub(super) lost_there: bool,
    pub(super) lost_back: bool,
    pub(super) refused: bool,
    /// A loss breaks the connection, so that it is noticed at once.
    pub(super) noticed: bool,
}

impl Fate {
    /// It arrives at once, and so does the answer.
    pub(super) fn calm() -> Self {
        Self {
            there: Duration::ZERO,
            back: Duration::ZERO,
            lost_there: false,
            lost_back: false,
            refused: false,
            noticed: false,
        }
    }

    /// As the network is; `unheard`: nobody hears the answer.
    pub(super) fn thrown(dice: &mut Dice, noise: Noise, unheard: bool) -> Self {
        let mut fate = Self { there: dice.ms(0, 1), back: dice.ms(0, 1), ..Self::calm() };
        if dice.permille(noise.slow) {
            *side(&mut fate, dice) = dice.ms(5, 300);
        }
        if dice.permille(noise.late) {
            *side(&mut fate, dice) = dice.ms(300, 4_000);
        }
        if dice.permille(noise.lost) {
            (fate.lost_there, fate.noticed) = (dice.permille(500), dice.permille(500));
            fate.lost_back = !fate.lost_there;
        }
        fate.refused = dice.permille(noise.refused);
        if unheard {
            (fate.lost_back, fate.noticed) = (true, dice.permille(500));
        }
        fate
    }
}

fn side<'a>(fate: &'a mut Fate, dice: &mut Dice) -> &'a mut Duration {
    if dice.permille(500) { &mut fate.there } else { &mut fate.back }
}

/// Waits, if there is anything to wait for.
pub(super) async fn sleep(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// The connection broke while the answer was due.
pub(super) fn broken(op: &Op) -> Error {
    let effect = if op.class() == OpClass::Read { Effect::None } else { Effect::Unknown };
    Error::new(ErrorKind::Disconnected, "connection reset by peer").with_effect(effect)
}

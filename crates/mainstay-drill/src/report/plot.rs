//! Plots as inline SVG: lines, stacked areas, bars and lanes over the seconds of a drill, with the fault shaded.
//! It must not know what the numbers mean.

use std::fmt::Write;

use super::junit::escape;
use crate::judge::time;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
const LANE: f64 = 22.0;

/// A stretch of time with a name, shaded.
#[derive(Clone, Debug)]
pub(super) struct Shade {
    pub(super) class: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// One series: a name, a colour by number, and a value a second.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) color: usize,
    pub(super) values: Vec<Option<f64>>,
}

/// A lane: a name, and the states that follow each other.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) states: Vec<State>,
}

/// A state, and the seconds of its begin and end.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) word: String,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// How series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lines,
    Stacked,
}

/// How the axis at the left is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Count,
    Millis,
}

/// The frame of every plot: so many seconds, with shades.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) seconds: f64,
    pub(super) shades: &'a [Shade],
}

impl Frame<'_> {
    /// Series over time, with a legend.
    pub(super) fn plot(&self, title: &str, kind: Kind, axis: Axis, series: &[Series]) -> String {
        let top = top_of(kind, series);
        let mut svg = self.open(title, HEIGHT);
        self.axis(&mut svg, axis, top);
        let mut base = vec![0.0; series.iter().map(|each| each.values.len()).max().unwrap_or(0)];
        for each in series {
            let drawn = match kind {
                Kind::Lines => self.line(each, top),
                Kind::Stacked => self.area(each, top, &mut base),
            };
            svg.push_str(&drawn);
        }
        svg.push_str("</svg>");
        format!(
            "<figure><figcaption>{}{}</figcaption>{svg}</figure>",
            escape(title),
            legend(series)
        )
    }

    /// A lane for each name, with spans of a state.
    pub(super) fn lanes(&self, title: &str, lanes: &[Lane]) -> String {
        let height = TOP + BOTTOM + LANE * count(lanes.len());
        let mut svg = self.open(title, height);
        self.time_axis(&mut svg, height);
        for (row, Lane { name, states }) in lanes.iter().enumerate() {
            let y = TOP + LANE * count(row);
            let middle = y + LANE / 2.0 + 4.0;
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                escape(name)
            );
            for State { word, from, to } in states {
                let (x, end) = (self.x(*from), self.x(*to));
                let (wide, tall) = ((end - x).max(1.0), LANE - 6.0);
                let _ = write!(
                    svg,
                    "<rect class=\"state {0}\" x=\"{x:.1}\" y=\"{1:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" rx=\"3\">\
                     <title>{2} {0}: {3} to {4}</title></rect>",
                    escape(word),
                    y + 3.0,
                    escape(name),
                    time(from * 1e3),
                    time(to * 1e3),
                );
                if wide > 44.0 {
                    let _ = write!(
                        svg,
                        "<text class=\"word\" x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
                        x + 5.0,
                        escape(word)
                    );
                }
            }
        }
        svg.push_str("</svg>");
        format!("<figure><figcaption>{}</figcaption>{svg}</figure>", escape(title))
    }

    fn open(&self, title: &str, height: f64) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(title)
        );
        for shade in self.shades {
            let (x, end) = (self.x(shade.from), self.x(shade.to));
            let _ = write!(
                svg,
                "<rect class=\"shade {}\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                shade.class,
                (end - x).max(0.5),
                height - TOP - BOTTOM
            );
        }
        svg
    }

    fn axis(&self, svg: &mut String, axis: Axis, top: f64) {
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let y = y_of(value, top);
            let label = match axis {
                Axis::Millis => time(value),
                Axis::Count if top < 8.0 => format!("{value:.1}"),
                Axis::Count => format!("{value:.0}"),
            };
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            );
        }
        self.time_axis(svg, HEIGHT);
    }

    fn time_axis(&self, svg: &mut String, height: f64) {
        let wanted = self.seconds / 8.0;
        let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0];
        let step = steps.into_iter().find(|step| *step >= wanted).unwrap_or(1200.0);
        let mut at = 0.0;
        while at <= self.seconds {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at:.0}s</text>",
                self.x(at),
                height - 8.0
            );
            at += step;
        }
    }

    fn line(&self, series: &Series, top: f64) -> String {
        let mut path = String::new();
        let mut pen_down = false;
        for (second, value) in series.values.iter().enumerate() {
            let Some(value) = value else {
                pen_down = false;
                continue;
            };
            let letter = if pen_down { 'L' } else { 'M' };
            let _ =
                write!(path, "{letter}{:.1} {:.1}", self.x(count(second) + 0.5), y_of(*value, top));
            pen_down = true;
        }
        format!("<path class=\"line c{}\" d=\"{path}\"/>", series.color)
    }

    /// Stands on what is below it, and becomes what the next one stands on.
    fn area(&self, series: &Series, top: f64, base: &mut [f64]) -> String {
        let (mut over, mut under) = (String::new(), Vec::new());
        for (second, below) in base.iter_mut().enumerate() {
            let value = series.values.get(second).copied().flatten().unwrap_or(0.0);
            let x = self.x(count(second) + 0.5);
            under.push(format!("L{x:.1} {:.1}", y_of(*below, top)));
            *below += value;
            let letter = if second == 0 { 'M' } else { 'L' };
            let _ = write!(over, "{letter}{x:.1} {:.1}", y_of(*below, top));
        }
        under.reverse();
        format!("<path class=\"area c{}\" d=\"{over}{}Z\"/>", series.color, under.concat())
    }

    fn x(&self, second: f64) -> f64 {
        let share = (second / self.seconds.max(1.0)).clamp(0.0, 1.0);
        LEFT + (WIDTH - LEFT - RIGHT) * share
    }
}

fn y_of(value: f64, top: f64) -> f64 {
    let share = (value / top).clamp(0.0, 1.0);
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
}

/// A round number over everything that is drawn.
fn top_of(kind: Kind, series: &[Series]) -> f64 {
    let values =
        |each: &Series| each.values.iter().map(|value| value.unwrap_or(0.0)).collect::<Vec<_>>();
    let highest = match kind {
        Kind::Lines => series.iter().flat_map(values).fold(0.0, f64::max),
        Kind::Stacked => {
            let length = series.iter().map(|each| each.values.len()).max().unwrap_or(0);
            let sum = |second: usize| {
                let at = |each: &Series| each.values.get(second).copied().flatten().unwrap_or(0.0);
                series.iter().map(at).sum::<f64>()
            };
            (0..length).map(sum).fold(0.0, f64::max)
        }
    };
    if highest <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(highest.log10().floor());
    let rounded = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power);
    rounded.into_iter().find(|top| *top >= highest).unwrap_or(highest)
}

fn legend(series: &[Series]) -> String {
    let entry = |each: &Series| {
        format!("<span class=\"key c{}\">{}</span>", each.color, escape(&each.name))
    };
    series.iter().map(entry).collect()
}

#[expect(clippy::cast_precision_loss, reason = "seconds and rows of a drill")]
fn count(number: usize) -> f64 {
    number as f64
}

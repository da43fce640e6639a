//! Rows of pairs: ours, the reference, their ratio, the spread.
//! It must not know what was measured.

use std::fmt;

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Vec<f64>,
    pub(crate) reference_name: &'static str,
    pub(crate) reference: Vec<f64>,
    pub(crate) target: &'static str,
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn to_json(&self) -> String {
        let rows: Vec<serde_json::Value> = self.0.iter().map(Row::to_json).collect();
        serde_json::json!({ "rows": rows }).to_string()
    }
}

impl Row {
    fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.reference)
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name, "unit": self.unit, "ours": self.ours, "reference": self.reference_name,
            "reference_values": self.reference, "ratio": self.ratio(), "target": self.target,
        })
    }
}

/// The middle of the sorted values; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn spread(values: &[f64]) -> f64 {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    if low > 0.0 { (high / low - 1.0) * 100.0 } else { 0.0 }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<40} {:>14} {:>14} {:<26} {:>7}  {:>7}  target",
            "row (medians)", "ours", "reference", "", "ratio", "spread"
        )?;
        for row in &self.0 {
            writeln!(
                f,
                "{:<40} {:>10.0} {:<3} {:>10.0} {:<3} {:<26} {:>7.3}  {:>5.0} %  {}",
                row.name,
                median(&row.ours),
                row.unit,
                median(&row.reference),
                row.unit,
                row.reference_name,
                row.ratio(),
                spread(&row.ours).max(spread(&row.reference)),
                row.target
            )?;
        }
        Ok(())
    }
}

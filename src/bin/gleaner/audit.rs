//! `gleaner audit`.

use std::path::PathBuf;

use clap::Args;
use gleaner::Result;
use gleaner::data::Source;
use gleaner::data::table::Groups;
use gleaner::experiment::metrics::average_precision;
use gleaner::experiment::{Observations, audited};
use gleaner::report::text_table;
use gleaner::value::{Audit, AuditOptions};
use serde_json::{Value, json};

use crate::context::Context;
use crate::input::{Data, Extra, Input};
use crate::kept::Kept;
use crate::known::Known;
use crate::memory::Demand;
use crate::output::{self, Column, Values};
use crate::page::{Left, PageFlags, Sheet};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner audit train.csv --label y --out suspects.csv
  gleaner audit train.csv --label y --truth clean_y    # how many of the wrong labels are found")]
pub struct Flags {
    #[command(flatten)]
    input: Input,
    /// Where the table of all rows goes, the most suspect first: .csv, .parquet or .npy.
    #[arg(long, default_value = "audit.csv")]
    out: PathBuf,
    /// Where the report goes [default: the name of OUT with .json].
    #[arg(long)]
    report: Option<PathBuf>,
    /// A column of labels known to be right, to see how many of the wrong ones are found.
    #[arg(long)]
    truth: Option<String>,
    /// Suspects, duplicates and outliers that are printed.
    #[arg(long, default_value_t = 10)]
    show: usize,
    #[command(flatten)]
    page: PageFlags,
}

impl Flags {
    /// The rows to look at.
    pub fn read(&self, context: &mut Context) -> Result<Data> {
        self.input.read(&self.extra(), Demand::EVIDENCE, context)
    }

    fn extra(&self) -> Extra<'_> {
        Extra { group: self.truth.as_ref(), ..Default::default() }
    }
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    output::check(&flags.out)?;
    flags.input.labelled()?;
    context.resumes(Some(&Kept::evidence(&flags.out)))?;
    let on_disk = Demand::AUDIT_ON_DISK;
    if flags.input.is_large(&flags.extra(), Demand::EVIDENCE, |_| on_disk, &context)? {
        let stored = flags.input.store(&flags.extra(), &flags.out, &mut context)?;
        if let Some(limit) = context.memory_limit() {
            let demand = on_disk.with_classes(stored.classes().1.len());
            demand.check_rows(limit, ("", stored.len()), stored.width())?;
        }
        return look(&flags, &stored, &stored.table, None, context);
    }
    let data = flags.read(&mut context)?;
    look(&flags, &data, &data.table.data, Some(&data), context)
}

/// Looks at rows, of which those in memory are shown on the page.
fn look(
    flags: &Flags,
    known: &dyn Known,
    source: &dyn Source,
    data: Option<&Data>,
    mut context: Context,
) -> Result<()> {
    known.check_labels()?;
    let seeds = context.seeds;
    let kept = context.keep(&flags.out, "audit", source)?;
    let audit = context.step("looking", || {
        let seen = Observations::labelled_inputs(source)?;
        audited(&seen.evidence()?, &AuditOptions::default(), seeds, kept.run())
    })?;
    let columns = columns(known, &audit, &order(&audit));
    context.step("writing", || output::write(&flags.out, &columns))?;
    let found = known.groups().map(|truth| found(known, &audit, truth)).transpose()?;
    let report = context.complete(report(flags, known, &audit, found));
    let path = flags.report.clone().unwrap_or_else(|| flags.out.with_extension("json"));
    output::write_json(&path, &report)?;
    let sheet = data.map(|_| Sheet::of(&columns));
    let left = Left { report: &report, sheet: sheet.as_ref(), data };
    let page = flags.page.write(&path, &left, &mut context)?;
    kept.done()?;
    context.tell(&(text(flags, known, &audit, found) + &page), report)
}

/// All rows, those held to be wrong first, by the probability of their label.
fn order(audit: &Audit) -> Vec<usize> {
    let mut order = audit.suspects();
    let mut others: Vec<usize> =
        (0..audit.labels.len()).filter(|i| !audit.labels[*i].wrong).collect();
    let probability = |i: &usize| audit.labels[*i].probability;
    others.sort_by(|a, b| probability(a).total_cmp(&probability(b)).then(a.cmp(b)));
    order.extend(others);
    order
}

fn columns(data: &dyn Known, audit: &Audit, order: &[usize]) -> Vec<Column> {
    let verdict = |i: &usize| audit.labels[*i];
    let text = |of: &dyn Fn(usize) -> String| Values::Text(order.iter().map(|i| of(*i)).collect());
    let real = |of: &dyn Fn(usize) -> f64| Values::Real(order.iter().map(|i| of(*i)).collect());
    let mut columns = data.keys(order);
    let (twins, outlier) = (twins(data, audit), marks(data.len(), &audit.outliers));
    columns.extend([
        data.labels(order),
        Column::new("likely", text(&|i| data.class(verdict(&i).likely))),
        Column::new("label_probability", real(&|i| verdict(&i).probability)),
        Column::new("likely_probability", real(&|i| verdict(&i).likely_probability)),
        Column::new("neighbours_agree", real(&|i| verdict(&i).agreement)),
        Column::new("wrong", Values::Truth(order.iter().map(|i| verdict(i).wrong).collect())),
        Column::new("outlier", Values::Truth(order.iter().map(|i| outlier[*i]).collect())),
        Column::new("duplicate_of", text(&|i| twins[i].clone())),
    ]);
    columns
}

fn marks(rows: usize, which: &[usize]) -> Vec<bool> {
    let mut marks = vec![false; rows];
    which.iter().for_each(|i| marks[*i] = true);
    marks
}

/// The nearest duplicate of each row, in words; empty where there is none.
fn twins(data: &dyn Known, audit: &Audit) -> Vec<String> {
    let mut twins = vec![String::new(); data.len()];
    for duplicate in &audit.duplicates {
        let (first, second) = (duplicate.first, duplicate.second);
        for (own, other) in [(first, second), (second, first)] {
            if twins[own].is_empty() {
                twins[own] = data.key(other);
            }
        }
    }
    twins
}

/// How many of the wrong labels are found.
#[derive(Clone, Copy)]
struct Found {
    wrong: usize,
    precision: f64,
    recall: f64,
    f1: f64,
    average_precision: f64,
}

fn found(data: &dyn Known, audit: &Audit, truth: &Groups) -> Result<Found> {
    let labels = data.classes().0;
    let wrong: Vec<bool> = (labels.iter().zip(&truth.ids))
        .map(|(label, truth_id)| data.class(*label) != truth.names[*truth_id as usize])
        .collect();
    let count = |of: &dyn Fn(usize) -> bool| (0..wrong.len()).filter(|i| of(*i)).count();
    let (all, named) = (count(&|i| wrong[i]), count(&|i| audit.labels[i].wrong));
    let hits = count(&|i| wrong[i] && audit.labels[i].wrong) as f64;
    let suspicion: Vec<f64> = audit.labels.iter().map(|label| 1.0 - label.probability).collect();
    let over = |of: usize| if of > 0 { hits / of as f64 } else { 0.0 };
    Ok(Found {
        wrong: all,
        precision: over(named),
        recall: over(all),
        f1: 2.0 * hits / (all + named).max(1) as f64,
        average_precision: if all > 0 { average_precision(&suspicion, &wrong)? } else { 0.0 },
    })
}

fn report(flags: &Flags, data: &dyn Known, audit: &Audit, found: Option<Found>) -> Value {
    let constant: Vec<String> = audit.constant.iter().map(|k| data.feature(*k)).collect();
    let truth = found.map(|found| {
        json!({
            "wrong": found.wrong,
            "precision": found.precision,
            "recall": found.recall,
            "f1": found.f1,
            "average_precision": found.average_precision,
        })
    });
    json!({
        "command": "audit",
        "input": data.report(),
        "suspects": audit.suspects().len(),
        "estimated_noise": audit.noise(),
        "duplicates": audit.duplicates.len(),
        "outliers": audit.outliers.len(),
        "neighbours_found": audit.recall,
        "constant_features": constant,
        "truth": truth,
        "out": flags.out,
    })
}

fn text(flags: &Flags, data: &dyn Known, audit: &Audit, found: Option<Found>) -> String {
    let (suspects, labels) = (audit.suspects(), data.classes().0);
    let mut text = format!(
        "{} of {} labels are held to be wrong, about {:.1} % by estimate: {}\n",
        suspects.len(),
        data.len(),
        100.0 * audit.noise(),
        flags.out.display(),
    );
    if let Some(Found { wrong, precision, recall, f1, average_precision }) = found {
        text += &format!(
            "{wrong} are: precision {precision:.3}, recall {recall:.3}, F1 {f1:.3}, average precision {average_precision:.3}\n"
        );
    }
    if let Some(recall) = audit.recall {
        let found = 100.0 * recall;
        text += &format!(
            "too many rows to compare all: {found:.1} % of the nearest neighbours were found, by 256 rows\n"
        );
    }
    let row = |i: &usize| {
        let verdict = audit.labels[*i];
        let (label, likely) = (data.class(labels[*i]), data.class(verdict.likely));
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        vec![
            data.key(*i),
            label,
            percent(verdict.probability),
            likely,
            percent(verdict.likely_probability),
            percent(verdict.agreement),
        ]
    };
    let header = ["row", "label", "probability", "likely", "probability", "neighbours agree"];
    let rows: Vec<Vec<String>> = suspects.iter().take(flags.show).map(row).collect();
    if !rows.is_empty() {
        text += &format!("\n{}", text_table(&header, &rows));
    }
    text += &confused(data, audit, flags.show);
    let pairs = audit.duplicates.iter().map(|d| {
        let differ = if labels[d.first] == labels[d.second] { "" } else { " (labels differ)" };
        format!("{} and {}{differ}", data.key(d.first), data.key(d.second))
    });
    text += &list("near duplicates", audit.duplicates.len(), pairs, flags.show);
    let outliers = audit.outliers.iter().map(|i| data.key(*i));
    text += &list("outliers", audit.outliers.len(), outliers, flags.show);
    let constant = audit.constant.iter().map(|k| data.feature(*k));
    text + &list("constant features", audit.constant.len(), constant, flags.show)
}

/// The classes most taken for others.
fn confused(data: &dyn Known, audit: &Audit, show: usize) -> String {
    let classes = audit.joint.nrows();
    let pairs = (0..classes).flat_map(|a| (0..classes).map(move |b| (a, b)));
    let mut pairs: Vec<(usize, usize)> =
        pairs.filter(|&(a, b)| a != b && audit.joint[(a, b)] >= 0.005).collect();
    pairs.sort_by(|a, b| audit.joint[*b].total_cmp(&audit.joint[*a]).then(a.cmp(b)));
    let words = pairs.iter().map(|&(a, b)| {
        let share = 100.0 * audit.joint[(a, b)];
        format!("{} for {} {share:.1} %", data.class(a as u32), data.class(b as u32))
    });
    list("labels given for others", pairs.len(), words, show)
}

fn list(what: &str, count: usize, items: impl Iterator<Item = String>, show: usize) -> String {
    if count == 0 {
        return String::new();
    }
    let shown: Vec<String> = items.take(show).collect();
    let more = if count > shown.len() { ", …" } else { "" };
    format!("\n{count} {what}: {}{more}\n", shown.join(", "))
}

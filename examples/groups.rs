//! Buying whole speakers or single utterances for the same money: groups and costs in the budget.
//!
//! Utterances are to be labelled. Each costs its duration; a speaker's first one also costs a session
//! (consent, set-up, an annotator who gets used to the voice). What is the best training set for the
//! money? Nothing is labelled yet, so all that a way of choosing sees is where utterances lie, who
//! speaks, and what things cost. *Speakers* buys speakers as a whole, with a group a speaker:
//!
//! ```text
//! minimise    <D, Z> + eps/2 ||Z||^2                   D_ij: how badly utterance j stands in for i
//! subject to  Z >= 0,  Z 1 = 1                         every utterance of the pool is represented
//!             Z_ij <= t_g  for every j of speaker g    t_g: how much of speaker g is bought
//!             sum_g a_g t_g <= money                   a_g: a session and all that g says
//! ```
//!
//! Of each speaker only the utterance nearest to i may stand in for it; the others cost as much as the
//! farthest (`nearest_of_each_speaker` says why).
//!
//! *Utterances* is the same program with a group an utterance, all of D, and the duration for `a_j`: that
//! sessions cost money shows only when the money is spent. *Session-aware* adds to `a_j` an equal share of
//! the session for as long as the speaker is unknown. Solving, buying along the weights and solving again
//! with what is owned at the price of nothing turns weights into purchases, for all three alike; a fifth of
//! what the whole pool would cost may be spent.
//!
//! A fresh learner then learns the words from what was bought, in equal steps. It is tested on new
//! speakers, as many of a rare accent as of a common one, while speakers of the pool have the accents that
//! come by chance.
//!
//! # What it shows
//! Sessions for free: single utterances win by seven points of accuracy. Those of one speaker resemble each
//! other, and the best of every speaker teach more than all of a few. A session for the price of two
//! utterances: even. From five on whole speakers win, by five to ten points: utterances chosen without
//! regard for sessions meet more speakers and leave less than half as much to learn from. Utterances whose
//! price knows of sessions keep level with whole speakers there and stay ahead below, for they may buy a
//! part of a speaker. So: groups for what is only sold as a whole; for all else, prices that are renewed as
//! the money is spent.
//!
//! `cargo run --release --example groups`

#[path = "shared/jobs.rs"]
mod jobs;
#[path = "shared/threads.rs"]
mod threads;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use clap::Parser;
use gleaner::Distance;
use gleaner::choose::top;
use gleaner::data::Dataset;
use gleaner::experiment::metrics::mean_and_std;
use gleaner::layer::bridge::to_matrix;
use gleaner::learn::{Diet, Length, Recipe, judge};
use gleaner::learn::{Mlp, MlpOptions};
use gleaner::program::{Budget, BudgetRow, Method, ProgramOptions, Regulariser, SelectionProgram};
use gleaner::report::{ChartOptions, Panel, Series, Spread, line_chart, text_table, write_csv};
use indicatif::{ProgressBar, ProgressStyle};
use jobs::side_by_side;
use nalgebra::DMatrix;
use rand::distr::{Distribution, Uniform, weighted::WeightedIndex};
use rand::{Rng, RngCore, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use threads::with_thread_count;

/// Buys whole speakers or single utterances for the same money, and judges what a learner makes of them.
#[derive(Parser)]
struct Flags {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Where the table and the picture go.
    #[arg(long, default_value = "target/gleaner/groups")]
    out: PathBuf,
    /// A smaller task: 24 speakers, three session costs, two seeds at most.
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let seeds = if flags.quick { flags.seeds.min(2) } else { flags.seeds };
    let speakers = if flags.quick { 24 } else { 36 };
    let sessions: &[f64] =
        if flags.quick { &[0.0, 5.0, 20.0] } else { &[0.0, 2.0, 5.0, 10.0, 20.0] };
    with_thread_count(seeds * sessions.len() as u64)?;
    println!(
        "{speakers} speakers of {ACCENTS} accents with Zipf({ZIPF}) shares, {WORDS} words; \
         {:.0} % of the pool's cost may be spent; an utterance costs 1 on average, a session one of \
         {sessions:?}",
        100.0 * SHARE
    );
    let jobs: Vec<(f64, u64)> = sessions
        .iter()
        .flat_map(|&session| (flags.seed..flags.seed + seeds).map(move |seed| (session, seed)))
        .collect();
    let bar = ProgressBar::new((jobs.len() * Way::ALL.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed_precise} {msg}")?);
    let found = side_by_side(&jobs, &Device::Cpu, |&(session, seed)| {
        let task = Task::draw(speakers, seed)?;
        let outcome = |way: Way| {
            let outcome = task.outcome(way, session, seed);
            bar.set_message(format!("session {session}, seed {seed}: {}", way.name()));
            bar.inc(1);
            outcome
        };
        Way::ALL.into_iter().map(outcome).collect::<Result<Vec<Outcome>>>()
    })?;
    bar.finish_and_clear();
    report(&flags.out, sessions, &found.concat())
}

// Choosing.

/// What part of the pool's cost, sessions included, may be spent.
const SHARE: f64 = 0.2;
/// eps of the programs, relative to the mean cost of the pool.
const SMOOTHING: f64 = 0.1;

/// A way to spend the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The program with a group a speaker.
    Speakers,
    /// The program with a group an utterance, which knows nothing of sessions.
    Utterances,
    /// The same with sessions in its prices.
    SessionAware,
    RandomSpeakers,
    RandomUtterances,
    /// All of the pool, at five times the money: what the learner could reach.
    Everything,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::Speakers,
        Self::Utterances,
        Self::SessionAware,
        Self::RandomSpeakers,
        Self::RandomUtterances,
        Self::Everything,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Speakers => "speakers (groups)",
            Self::Utterances => "utterances",
            Self::SessionAware => "utterances, session-aware",
            Self::RandomSpeakers => "random speakers",
            Self::RandomUtterances => "random utterances",
            Self::Everything => "everything",
        }
    }

    fn buys_speakers(self) -> bool {
        matches!(self, Self::Speakers | Self::RandomSpeakers)
    }
}

/// Utterances that can be had, and what is known of them before any is labelled.
struct Pool {
    utterances: Dataset,
    /// Cost of an utterance by itself: its duration.
    durations: Vec<f64>,
    speaker: Vec<usize>,
    /// The utterances of each speaker.
    speakers: Vec<Vec<usize>>,
    /// How badly utterance j stands in for utterance i.
    costs: DMatrix<f64>,
}

/// What was bought from a pool, and what it cost.
struct Purchase<'a> {
    pool: &'a Pool,
    session: f64,
    money: f64,
    bought: Vec<usize>,
    owned: Vec<bool>,
    met: Vec<bool>,
}

impl<'a> Purchase<'a> {
    fn new(pool: &'a Pool, session: f64) -> Self {
        let whole_pool = session * pool.speakers.len() as f64 + pool.durations.iter().sum::<f64>();
        Self {
            pool,
            session,
            money: SHARE * whole_pool,
            bought: Vec::new(),
            owned: vec![false; pool.durations.len()],
            met: vec![false; pool.speakers.len()],
        }
    }

    /// What these utterances of one speaker cost now.
    fn price(&self, offer: &[usize]) -> f64 {
        let missing = || offer.iter().filter(|&&u| !self.owned[u]);
        let durations: f64 = missing().map(|&u| self.pool.durations[u]).sum();
        match missing().next() {
            Some(&u) if !self.met[self.pool.speaker[u]] => self.session + durations,
            _ => durations,
        }
    }

    fn is_affordable(&self, offer: &[usize]) -> bool {
        self.price(offer) <= self.money
    }

    /// Buys what is missing of the offer, if there is the money for all of it.
    fn buy(&mut self, offer: &[usize]) {
        if !self.is_affordable(offer) {
            return;
        }
        self.money -= self.price(offer);
        for &u in offer {
            if !std::mem::replace(&mut self.owned[u], true) {
                self.bought.push(u);
            }
            self.met[self.pool.speaker[u]] = true;
        }
    }
}

impl Pool {
    /// What is bought as a whole.
    fn offers(&self, way: Way) -> Vec<Vec<usize>> {
        if way.buys_speakers() {
            self.speakers.clone()
        } else {
            (0..self.durations.len()).map(|u| vec![u]).collect()
        }
    }

    fn choose(&self, way: Way, session: f64, rng: &mut dyn RngCore) -> Result<Vec<usize>> {
        let mut offers = self.offers(way);
        let mut purchase = Purchase::new(self, session);
        match way {
            Way::Speakers | Way::Utterances | Way::SessionAware => {
                buy_in_rounds(way, &offers, &mut purchase)?;
            }
            Way::RandomSpeakers | Way::RandomUtterances => {
                offers.shuffle(rng);
                offers.iter().for_each(|offer| purchase.buy(offer));
            }
            Way::Everything => purchase.bought = (0..self.durations.len()).collect(),
        }
        Ok(purchase.bought)
    }

    /// Costs with which a speaker is opened as a whole: an utterance is represented by the one that is
    /// nearest to it among each speaker's, or not by that speaker.
    ///
    /// Left as they are, the costs let an utterance spread over k similar ones of a speaker, a share of
    /// 1/k each, and that opens the speaker for 1/k of the price.
    fn nearest_of_each_speaker(&self) -> DMatrix<f64> {
        let n = self.durations.len();
        let mut costs = DMatrix::from_element(n, n, self.costs.max());
        for i in 0..n {
            for own in &self.speakers {
                let nearer =
                    |&&a: &&usize, &&b: &&usize| self.costs[(i, a)].total_cmp(&self.costs[(i, b)]);
                if let Some(&j) = own.iter().min_by(nearer) {
                    costs[(i, j)] = self.costs[(i, j)];
                }
            }
        }
        costs
    }
}

/// Solves the program, buys along its weights until half of the money is gone, and solves again with
/// what is owned for free: rounded in one go, weights of two offers alike would buy both.
fn buy_in_rounds(way: Way, offers: &[Vec<usize>], purchase: &mut Purchase) -> Result<()> {
    /// A smaller weight is smoothing, not a choice.
    const SEEN: f64 = 1e-3;
    let pool = purchase.pool;
    let costs = match way {
        Way::Speakers => pool.nearest_of_each_speaker(),
        _ => pool.costs.clone(),
    };
    while offers.iter().any(|o| purchase.price(o) > 0.0 && purchase.is_affordable(o)) {
        let before = purchase.bought.len();
        let weights = weights(way, &costs, offers, purchase)?;
        let enough = purchase.money / 2.0;
        for k in top(&weights, weights.len()) {
            if weights[k] > SEEN && purchase.money > enough {
                purchase.buy(&offers[k]);
            }
        }
        if purchase.bought.len() == before {
            break;
        }
    }
    Ok(())
}

/// One solve of the program: the weight of every offer, for the money that is left.
fn weights(
    way: Way,
    costs: &DMatrix<f64>,
    offers: &[Vec<usize>],
    purchase: &Purchase,
) -> Result<Vec<f64>> {
    let pool = purchase.pool;
    let coefficients = offers.iter().map(|offer| price_tag(way, offer, purchase)).collect();
    // Dearer than anything it could save, so that no weight goes to what the money does not buy.
    let never = costs.max() * costs.nrows() as f64;
    let column_costs = offers.iter().map(|o| if purchase.is_affordable(o) { 0.0 } else { never });
    let options = ProgramOptions {
        regulariser: Regulariser::Quadratic(SMOOTHING * pool.costs.mean()),
        groups: way.buys_speakers().then(|| pool.speaker.clone()),
        column_costs: Some(column_costs.collect()),
        ..Default::default()
    };
    let budget = Budget::Rows(vec![BudgetRow { coefficients, limit: purchase.money }]);
    let selection = SelectionProgram::new(costs.clone(), budget, options)?.solve(Method::Auto)?;
    Ok(selection.weights().as_slice().to_vec())
}

/// What the program is told an offer costs; nothing if it is owned.
fn price_tag(way: Way, offer: &[usize], purchase: &Purchase) -> f64 {
    let pool = purchase.pool;
    let new_speaker = |u: usize| !purchase.met[pool.speaker[u]];
    match (way, offer) {
        (Way::Utterances, &[u]) if !purchase.owned[u] => pool.durations[u],
        // As if the speaker's other utterances were bought along and paid their part of the session.
        (Way::SessionAware, &[u]) if new_speaker(u) => {
            let sharing = pool.speakers[pool.speaker[u]].len() as f64;
            pool.durations[u] + purchase.session / sharing
        }
        _ => purchase.price(offer),
    }
}

// Judging.

/// One judged purchase.
#[derive(Clone, Debug)]
struct Outcome {
    way: Way,
    session: f64,
    seed: u64,
    accuracy: f64,
    speakers: usize,
    utterances: usize,
    /// To choose.
    seconds: f64,
}

struct Task {
    pool: Pool,
    test: Dataset,
}

impl Task {
    fn draw(speakers: usize, seed: u64) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let world = World::draw(&mut rng);
        Ok(Self { pool: world.pool(speakers, &mut rng)?, test: world.test(&mut rng)? })
    }

    /// Test accuracy of a fresh learner trained on what `way` buys, in equal steps for every way.
    fn outcome(&self, way: Way, session: f64, seed: u64) -> Result<Outcome> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        let started = Instant::now();
        let chosen = self.pool.choose(way, session, &mut rng)?;
        let seconds = started.elapsed().as_secs_f64();
        let shape = MlpOptions { inputs: DIMENSIONS, hidden: vec![32], classes: WORDS };
        let learner = Mlp::new(&shape, seed, DType::F32, &Device::Cpu)?;
        let options = Recipe { length: Length::Steps(300), batch: 32, ..Default::default() };
        let diet = Diet::Fixed(&chosen);
        let accuracy = judge(&learner, &self.pool.utterances, diet, &self.test, &options, seed)?;
        let mut met: Vec<usize> = chosen.iter().map(|&u| self.pool.speaker[u]).collect();
        met.sort_unstable();
        met.dedup();
        let (speakers, utterances) = (met.len(), chosen.len());
        Ok(Outcome { way, session, seed, accuracy, speakers, utterances, seconds })
    }
}

// The world the utterances come from.

const DIMENSIONS: usize = 16;
const WORDS: usize = 8;
const ACCENTS: usize = 6;
/// The accent of rank r has a share proportional to `r^-ZIPF` of the speakers.
const ZIPF: f64 = 1.2;
/// Standard deviations of every coordinate.
const WORD: f64 = 1.5;
const ACCENT: f64 = 1.2;
const VOICE: f64 = 0.8;
const UTTERANCE: f64 = 0.6;
/// Fewest and most utterances of a speaker in the pool.
const UTTERANCES: (usize, usize) = (3, 15);
/// New speakers in the test set, and utterances of each.
const TEST: (usize, usize) = (180, 16);

/// An utterance is the place of its word in its accent, moved by the speaker's voice and by chance.
struct World {
    /// For every accent, the place of each word.
    places: Vec<Vec<Vec<f64>>>,
}

struct Speaker {
    accent: usize,
    voice: Vec<f64>,
}

fn normal(std: f64, rng: &mut dyn RngCore) -> Vec<f64> {
    let draw = |_| std * Distribution::<f64>::sample(&StandardNormal, rng);
    (0..DIMENSIONS).map(draw).collect()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn dataset(rows: Vec<Vec<f64>>, words: Vec<u32>) -> Result<Dataset> {
    let shape = (rows.len(), DIMENSIONS);
    let inputs = Tensor::from_vec(rows.concat(), shape, &Device::Cpu)?.to_dtype(DType::F32)?;
    Ok(Dataset::new(inputs, words, WORDS)?)
}

impl World {
    fn draw(rng: &mut dyn RngCore) -> Self {
        let words: Vec<Vec<f64>> = (0..WORDS).map(|_| normal(WORD, rng)).collect();
        let mut accent = || words.iter().map(|word| sum(word, &normal(ACCENT, rng))).collect();
        Self { places: (0..ACCENTS).map(|_| accent()).collect() }
    }

    fn utterance(&self, speaker: &Speaker, rng: &mut dyn RngCore) -> (Vec<f64>, u32) {
        let word = rng.random_range(0..WORDS);
        let place = sum(&self.places[speaker.accent][word], &speaker.voice);
        (sum(&place, &normal(UTTERANCE, rng)), word as u32)
    }

    /// Speakers by chance, but at least one of every accent.
    fn pool(&self, speakers: usize, rng: &mut dyn RngCore) -> Result<Pool> {
        let shares = WeightedIndex::new((1..=ACCENTS).map(|rank| (rank as f64).powf(-ZIPF)))?;
        let (fewest, most) = UTTERANCES;
        let (mut rows, mut words, mut speaker) = (Vec::new(), Vec::new(), Vec::new());
        let mut own = vec![Vec::new(); speakers];
        for (s, own) in own.iter_mut().enumerate() {
            let accent = if s < ACCENTS { s } else { shares.sample(rng) };
            let who = Speaker { accent, voice: normal(VOICE, rng) };
            for _ in 0..rng.random_range(fewest..=most) {
                let (row, word) = self.utterance(&who, rng);
                own.push(rows.len());
                rows.push(row);
                words.push(word);
                speaker.push(s);
            }
        }
        let durations = Uniform::new(0.5, 1.5)?.sample_iter(rng).take(rows.len()).collect();
        let utterances = dataset(rows, words)?;
        let inputs = utterances.inputs().to_dtype(DType::F64)?;
        let costs = to_matrix(&Distance::SquaredEuclidean.between(&inputs, &inputs)?)?;
        Ok(Pool { utterances, durations, speaker, speakers: own, costs })
    }

    /// New speakers, as many of one accent as of another.
    fn test(&self, rng: &mut dyn RngCore) -> Result<Dataset> {
        let (mut rows, mut words) = (Vec::new(), Vec::new());
        for s in 0..TEST.0 {
            let who = Speaker { accent: s % ACCENTS, voice: normal(VOICE, rng) };
            for _ in 0..TEST.1 {
                let (row, word) = self.utterance(&who, rng);
                rows.push(row);
                words.push(word);
            }
        }
        dataset(rows, words)
    }
}

// Reporting.

/// A way at one session cost: means over seeds, accuracy with its standard deviation.
struct Summary {
    way: Way,
    session: f64,
    accuracy: (f64, f64),
    speakers: f64,
    utterances: f64,
    seconds: f64,
}

fn summarise(sessions: &[f64], found: &[Outcome]) -> Vec<Summary> {
    let one = |way, session| {
        let over_seeds = |pick: fn(&Outcome) -> f64| {
            let own = found.iter().filter(|o| o.way == way && o.session == session);
            mean_and_std(&own.map(pick).collect::<Vec<_>>())
        };
        Summary {
            way,
            session,
            accuracy: over_seeds(|o| o.accuracy),
            speakers: over_seeds(|o| o.speakers as f64).0,
            utterances: over_seeds(|o| o.utterances as f64).0,
            seconds: over_seeds(|o| o.seconds).0,
        }
    };
    Way::ALL.iter().flat_map(|&way| sessions.iter().map(move |&s| one(way, s))).collect()
}

/// Prints the tables; writes `summary.csv`, `seeds.csv` and `accuracy.svg`.
fn report(dir: &Path, sessions: &[f64], found: &[Outcome]) -> Result<()> {
    let rows = summarise(sessions, found);
    println!(
        "\ntest accuracy at equal cost, mean ± standard deviation over seeds, and seconds to choose"
    );
    let accuracy = |s: &Summary| format!("{:.3} ± {:.3}", s.accuracy.0, s.accuracy.1);
    print_table(sessions, &rows, accuracy, true);
    println!("speakers met / utterances bought, mean over seeds");
    print_table(sessions, &rows, |s| format!("{:.1} / {:.1}", s.speakers, s.utterances), false);
    let columns = ["accuracy_mean", "accuracy_std", "speakers", "utterances", "seconds"];
    write_csv(
        dir.join("summary.csv"),
        &[&["method", "session_cost"], &columns[..]].concat(),
        rows.iter().map(|s| {
            let numbers = [s.accuracy.0, s.accuracy.1, s.speakers, s.utterances, s.seconds];
            let names = [s.way.name().to_string(), s.session.to_string()];
            names.into_iter().chain(numbers.map(|x| format!("{x:.4}"))).collect()
        }),
    )?;
    write_csv(
        dir.join("seeds.csv"),
        &["method", "session_cost", "seed", "accuracy", "speakers", "utterances", "seconds"],
        found.iter().map(|o| {
            let names = [o.way.name().into(), o.session.to_string(), o.seed.to_string()];
            let counts = [o.speakers.to_string(), o.utterances.to_string()];
            let (accuracy, seconds) = (format!("{:.5}", o.accuracy), format!("{:.3}", o.seconds));
            names.into_iter().chain([accuracy]).chain(counts).chain([seconds]).collect()
        }),
    )?;
    draw(&dir.join("accuracy.svg"), &rows)?;
    println!("written: {}/{{summary,seeds}}.csv, accuracy.svg", dir.display());
    Ok(())
}

/// A row a way, a column a session cost.
fn print_table(
    sessions: &[f64],
    rows: &[Summary],
    cell: impl Fn(&Summary) -> String,
    with_seconds: bool,
) {
    let mut header = vec!["way of choosing".to_string()];
    header.extend(sessions.iter().map(|session| format!("session {session}")));
    header.extend(with_seconds.then(|| "seconds".to_string()));
    let line = |own: &[Summary]| {
        let mut line = vec![own[0].way.name().to_string()];
        line.extend(own.iter().map(&cell));
        let slowest = own.iter().map(|s| s.seconds).fold(0.0, f64::max);
        line.extend(with_seconds.then(|| format!("{slowest:.1}")));
        line
    };
    let table: Vec<Vec<String>> = rows.chunks(sessions.len()).map(line).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    println!("{}", text_table(&header, &table));
}

/// Ways in two panels, so that no more than three bands overlap.
fn draw(path: &Path, rows: &[Summary]) -> Result<()> {
    let by_program = [Way::Speakers, Way::Utterances, Way::SessionAware, Way::Everything];
    let by_chance = [Way::Speakers, Way::RandomSpeakers, Way::RandomUtterances, Way::Everything];
    let series = |way: Way| {
        let own = rows.iter().filter(|s| s.way == way);
        // A level line to compare with; its band would cover the others.
        let spread = |s: &Summary| if way == Way::Everything { 0.0 } else { s.accuracy.1 };
        let points = own.map(|s| (s.session, s.accuracy.0, spread(s))).collect();
        Series { name: way.name().into(), points }
    };
    let panel = |title: &str, ways: [Way; 4]| Panel {
        title: title.into(),
        series: ways.map(series).to_vec(),
    };
    let options = ChartOptions {
        title: "Whole speakers or single utterances for the same money".into(),
        x_label: "cost of a session, in utterances of mean length".into(),
        y_label: "test accuracy".into(),
        y_percent: true,
        spread: Spread::Band,
        ..Default::default()
    };
    let panels = [panel("chosen by the program", by_program), panel("against chance", by_chance)];
    Ok(line_chart(path, &options, &panels)?)
}

//! Selection via proxy on small clusters: what is bought, what is compared, and what is never looked at.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device};
use gleaner::choose::{
    Aum, BetaSampled, Choice, Craig, Dual, Entropy, Evidence, Forgetting, KCenter, LargestLoss,
    Margin, Needs, Random, Strategy, named,
};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::data::{Dataset, Source};
use gleaner::experiment::Run;
use gleaner::experiment::{
    ActiveLearning, Chooser, ComparisonOptions, CoreSet, CoreSetOptions, Joint, KnownLabels, Model,
    Oracle, Progress, Rounds, Selector, Stages, Task, active_learning, compare, core_set,
};
use gleaner::learn::{Learner, Mlp, MlpOptions};
use gleaner::learn::{Length, Sampling, Training, TrainingOptions, evaluate};
use gleaner::seeds::{Part, Seeds};
use gleaner::{Error, Result};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

struct Data {
    pool: Dataset,
    validation: Dataset,
    test: Dataset,
}

impl Data {
    fn new() -> Result<Self> {
        let shape = ClusterOptions {
            points: 200,
            test: 100,
            validation: 40,
            dimensions: 4,
            ..Default::default()
        };
        let made = clusters(&shape, &mut ChaCha8Rng::seed_from_u64(3))?;
        Ok(Self { pool: made.train, validation: made.validation, test: made.test })
    }

    fn task(&self) -> Task<'_> {
        Task {
            pool: &self.pool,
            validation: Some(&self.validation),
            test: &self.test,
            flipped: &[],
        }
    }
}

fn mlp(hidden: usize) -> impl Fn(u64) -> Result<Box<dyn Learner>> + Sync {
    move |seed| {
        let options = MlpOptions { inputs: 4, hidden: vec![hidden], classes: 5 };
        Ok(Box::new(Mlp::new(&options, seed, DType::F32, &Device::Cpu)?))
    }
}

type Build = dyn Fn(u64) -> Result<Box<dyn Learner>> + Sync;

fn model<'a>(name: &str, build: &'a Build) -> Model<'a> {
    let length = Length::Epochs(6);
    let training = TrainingOptions { length, batch: 32, ..Default::default() };
    Model { name: name.into(), build, training }
}

fn strategies() -> Vec<Box<dyn Strategy>> {
    vec![Box::new(Entropy), Box::new(Forgetting), Box::new(Aum), Box::new(KCenter)]
}

/// All but the seconds.
fn rows(found: &CoreSet) -> Vec<(String, Chooser, f64, u64)> {
    let row = |o: &gleaner::experiment::Outcome| {
        (o.strategy.clone(), o.chooser, o.fraction, o.error.to_bits())
    };
    found.outcomes.iter().map(row).collect()
}

#[test]
fn a_target_that_is_its_own_proxy_chooses_what_the_proxy_chooses() -> Result<()> {
    let (data, build) = (Data::new()?, mlp(12));
    let twins = (&model("proxy", &build), &model("target", &build));
    let options = CoreSetOptions { fractions: vec![0.2, 0.5], target_chooses: true, joint: None };
    let (run, mut heard) = (Run::in_memory(), 0);
    let stages = Stages { run: &run, watch: &mut |_| heard += 1 };
    let found = core_set(data.task(), twins, &strategies(), &options, 1, stages)?;
    // Four strategies twice and two baselines at two fractions, and everything.
    assert_eq!(found.outcomes.len(), (2 * 4 + 2) * 2 + 1);
    let all = rows(&found);
    let by = |chooser: Chooser| -> Vec<(String, f64, u64)> {
        let own = all.iter().filter(|row| row.1 == chooser);
        own.map(|(strategy, _, fraction, error)| (strategy.clone(), *fraction, *error)).collect()
    };
    assert_eq!(by(Chooser::Proxy), by(Chooser::Target));
    assert_eq!(by(Chooser::Proxy).len(), 8);
    for agreement in &found.agreements {
        assert_eq!(agreement.proxy.len(), data.pool.len());
        // Forgetting may say the same of all points of so easy a pool.
        assert!(agreement.correlation.is_none_or(|rho| rho > 1.0 - 1e-12), "{agreement:?}");
    }
    assert!(found.outcomes.iter().all(|o| (0.0..=1.0).contains(&o.error)));
    let needless = found.outcomes.iter().filter(|o| o.chooser == Chooser::Nobody);
    assert!(needless.clone().all(|o| o.seconds.training == 0.0));
    assert_eq!(needless.count(), 5);
    assert!(heard > 0);
    // The same run again has everything already.
    let stages = Stages { run: &run, watch: &mut |_| panic!("nothing is left to train") };
    let again = core_set(data.task(), twins, &strategies(), &options, 1, stages)?;
    assert_eq!(again, found);
    Ok(())
}

#[test]
fn a_core_set_depends_on_its_seed_and_on_nothing_else() -> Result<()> {
    let data = Data::new()?;
    let (small, large) = (mlp(4), mlp(16));
    let options = CoreSetOptions { fractions: vec![0.3], target_chooses: false, joint: None };
    let once = |seed| -> Result<_> {
        let run = Run::in_memory();
        let stages = Stages { run: &run, watch: &mut |_| {} };
        let models = (&model("small", &small), &model("large", &large));
        Ok(rows(&core_set(data.task(), models, &strategies(), &options, seed, stages)?))
    };
    assert_eq!(once(1)?, once(1)?);
    assert_ne!(once(1)?, once(2)?);
    Ok(())
}

/// What averages over trainings pays for ten; what does not pays for one, in the same run.
#[test]
fn averages_pay_for_their_trainings() -> Result<()> {
    let (data, build) = (Data::new()?, mlp(8));
    let names = ["el2n", "averaged el2n", "full-gradient grand", "averaged full-gradient grand"];
    let strategies: Vec<_> = names.iter().map(|name| named(name).unwrap()).collect();
    let options = CoreSetOptions { fractions: vec![0.2], target_chooses: false, joint: None };
    let (run, mut trained) = (Run::in_memory(), BTreeSet::new());
    let mut watch = |progress: &Progress| {
        trained.insert(progress.stage.to_string());
    };
    let stages = Stages { run: &run, watch: &mut watch };
    let models = (&model("proxy", &build), &model("target", &build));
    let found = core_set(data.task(), models, &strategies, &options, 1, stages)?;
    assert_eq!(trained.iter().filter(|stage| stage.contains("repeat")).count(), 9);
    assert_eq!(trained.len(), options.trainings(&strategies));
    let paid = |name: &str| found.outcomes.iter().find(|o| o.strategy == name).unwrap().seconds;
    assert!(paid("averaged el2n").training > paid("el2n").training);
    assert_eq!(paid("full-gradient grand").training, paid("el2n").training);
    assert_eq!(paid("averaged full-gradient grand").training, paid("averaged el2n").training);
    let stages = Stages { run: &run, watch: &mut |_| panic!("nothing is left to train") };
    let again = core_set(data.task(), models, &strategies, &options, 1, stages)?;
    assert_eq!(again, found);
    // Who asks for no average trains no more than before.
    let alone = strategies.into_iter().take(1).collect::<Vec<_>>();
    assert_eq!(options.trainings(&alone), 2 + 3);
    Ok(())
}

/// An oracle that counts, and answers from labels of its own.
struct Counting<'a> {
    labels: &'a [u32],
    asked: Vec<usize>,
}

impl Oracle for Counting<'_> {
    fn ask(&mut self, points: &[usize]) -> Result<Vec<u32>> {
        self.asked.extend(points);
        KnownLabels(self.labels).ask(points)
    }
}

fn buy(
    pool: &dyn Source,
    data: &Data,
    strategy: &dyn Strategy,
    rounds: &Rounds,
    oracle: &mut dyn Oracle,
) -> Result<ActiveLearning> {
    let (small, large) = (mlp(4), mlp(16));
    let run = Run::in_memory();
    let stages = Stages { run: &run, watch: &mut |_| {} };
    let task = Task { pool, ..data.task() };
    let models = (&model("small", &small), &model("large", &large));
    active_learning(task, models, strategy, rounds, oracle, 7, stages)
}

#[test]
fn every_label_is_bought_once_and_none_is_peeked_at() -> Result<()> {
    let data = Data::new()?;
    // The pool as the buyer sees it: its labels are wrong, the oracle's are right.
    let blank = data.pool.clone().with_labels(vec![0; data.pool.len()])?;
    let rounds = Rounds { evaluate: vec![0, 2], ..Rounds::equal(20, 15, 3) };
    for strategy in [&Entropy as &dyn Strategy, &KCenter, &Margin, &Random] {
        let mut oracle = Counting { labels: data.pool.labels(), asked: Vec::new() };
        let found = buy(&blank, &data, strategy, &rounds, &mut oracle)?;
        let distinct: BTreeSet<_> = oracle.asked.iter().collect();
        assert_eq!((oracle.asked.len(), distinct.len()), (65, 65), "{}", strategy.name());
        assert_eq!(found.bought, oracle.asked);
        let truth: Vec<u32> = found.bought.iter().map(|k| data.pool.labels()[*k]).collect();
        assert_eq!(found.labels, truth);
        let budgets: Vec<_> = found.outcomes.iter().map(|o| (o.points, o.fraction)).collect();
        assert_eq!(budgets, [(20, 0.1), (50, 0.25)]);
        // The same from a pool that shows its labels.
        let open = buy(&data.pool, &data, strategy, &rounds, &mut KnownLabels(data.pool.labels()))?;
        assert_eq!(open.bought, found.bought, "{}", strategy.name());
        let errors = |found: &ActiveLearning| -> Vec<u64> {
            found.outcomes.iter().map(|outcome| outcome.error.to_bits()).collect()
        };
        assert_eq!(errors(&open), errors(&found));
        let trained = found.outcomes[1].seconds.training > 0.0;
        assert_eq!(trained, strategy.needs() != Needs::NOTHING, "{}", strategy.name());
    }
    Ok(())
}

#[test]
fn a_warm_proxy_goes_on_from_the_round_before() -> Result<()> {
    let data = Data::new()?;
    let mut known = KnownLabels(data.pool.labels());
    let cold = Rounds::equal(20, 15, 3);
    let warm = Rounds { warm: true, ..cold.clone() };
    let cold = buy(&data.pool, &data, &Margin, &cold, &mut known)?;
    let warm = buy(&data.pool, &data, &Margin, &warm, &mut known)?;
    assert_eq!(cold.bought[..35], warm.bought[..35], "the first proxy is fresh either way");
    assert_ne!(cold.bought[35..], warm.bought[35..]);
    Ok(())
}

/// Answers with one label too few, or with a class that does not exist.
struct Wrong(Vec<u32>);

impl Oracle for Wrong {
    fn ask(&mut self, _: &[usize]) -> Result<Vec<u32>> {
        Ok(self.0.clone())
    }
}

#[test]
fn nonsense_is_refused() -> Result<()> {
    let data = Data::new()?;
    let mut known = KnownLabels(data.pool.labels());
    let rounds = Rounds::equal(20, 10, 2);
    // Strategies that need labels have no place where labels are bought.
    for strategy in [&LargestLoss as &dyn Strategy, &Forgetting, &Aum] {
        let mut unasked = Counting { labels: data.pool.labels(), asked: Vec::new() };
        let refused = buy(&data.pool, &data, strategy, &rounds, &mut unasked);
        assert!(matches!(refused, Err(Error::Unknown { .. })), "{}", strategy.name());
        assert!(unasked.asked.is_empty(), "labels were bought for nothing");
    }
    let broken = [
        Rounds::equal(0, 10, 2),
        Rounds::equal(20, 0, 2),
        Rounds::equal(20, 100, 2),
        Rounds { evaluate: vec![3], ..rounds.clone() },
        Rounds::equal(usize::MAX, 2, 1),
    ];
    for rounds in &broken {
        let refused = buy(&data.pool, &data, &Entropy, rounds, &mut known);
        assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{rounds:?}");
    }
    let few = buy(&data.pool, &data, &Entropy, &rounds, &mut Wrong(vec![0; 19]));
    assert!(matches!(few, Err(Error::Shape { .. })));
    let stranger = buy(&data.pool, &data, &Entropy, &rounds, &mut Wrong(vec![99; 20]));
    assert!(matches!(stranger, Err(Error::OutOfRange { .. })));

    // Two strategies of one name, and learned selection without a validation part.
    let build = mlp(4);
    let models = (&model("a", &build), &model("b", &build));
    let twice: [Box<dyn Strategy>; 2] = [Box::new(Entropy), Box::new(Entropy)];
    let joint = Some(Joint { steps: 2, ..Default::default() });
    for (task, strategies, joint) in [
        (data.task(), &twice[..], None),
        (Task { validation: None, ..data.task() }, &twice[..1], joint),
    ] {
        let run = Run::in_memory();
        let stages = Stages { run: &run, watch: &mut |_| {} };
        let options = CoreSetOptions { fractions: vec![0.5], target_chooses: false, joint };
        let refused = core_set(task, models, strategies, &options, 0, stages);
        assert!(matches!(refused, Err(Error::Shape { .. })), "{options:?}");
    }

    let build = mlp(4);
    let models = (&model("a", &build), &model("b", &build));
    for fractions in [vec![], vec![0.0], vec![0.5, 1.5], vec![f64::NAN]] {
        let run = Run::in_memory();
        let stages = Stages { run: &run, watch: &mut |_| {} };
        let options = CoreSetOptions { fractions, target_chooses: false, joint: None };
        assert!(core_set(data.task(), models, &[], &options, 0, stages).is_err(), "{options:?}");
    }
    Ok(())
}

/// Weights that CRAIG gives must reach the target: the same indices without weights train another one.
#[test]
fn the_weights_of_a_choice_reach_the_target() -> Result<()> {
    /// CRAIG's indices, all counting alike.
    struct Unweighted(Craig);
    impl Strategy for Unweighted {
        fn name(&self) -> &str {
            "unweighted"
        }
        fn needs(&self) -> Needs {
            self.0.needs()
        }
        fn select(&self, seen: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
            Ok(Choice::equal(self.0.select(seen, count, rng)?.indices))
        }
    }
    let (data, build) = (Data::new()?, mlp(8));
    let twins = (&model("proxy", &build), &model("target", &build));
    let strategies: [Box<dyn Strategy>; 2] =
        [Box::new(Craig::default()), Box::new(Unweighted(Craig::default()))];
    let options = CoreSetOptions { fractions: vec![0.2], target_chooses: false, joint: None };
    let mut losses = BTreeMap::new();
    let mut watch = |progress: &Progress| {
        losses.insert(progress.stage.to_string(), progress.loss);
    };
    let run = Run::in_memory();
    core_set(
        data.task(),
        twins,
        &strategies,
        &options,
        1,
        Stages { run: &run, watch: &mut watch },
    )?;
    let of = |name: &str| losses[&format!("seed1 proxy {name} 0.2 target target")];
    assert_ne!(of("craig"), of("unweighted"));
    Ok(())
}

/// What a strategy buys and gives no weight leaves no trace in what is trained on the labels: they may be wrong.
#[test]
fn the_weights_of_what_is_bought_reach_the_trainings() -> Result<()> {
    /// Entropy's points, every second of them without weight.
    struct Half;
    impl Strategy for Half {
        fn name(&self) -> &str {
            "half"
        }
        fn needs(&self) -> Needs {
            Entropy.needs()
        }
        fn select(&self, seen: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
            let chosen = Entropy.select(seen, count, rng)?.indices;
            let weights = (0..chosen.len()).map(|k| ((k + 1) % 2) as f64).collect();
            Choice::weighted(chosen, weights)
        }
    }
    /// Lies about every second point after the first round.
    struct Lying<'a>(&'a [u32], bool);
    impl Oracle for Lying<'_> {
        fn ask(&mut self, points: &[usize]) -> Result<Vec<u32>> {
            let first = !std::mem::replace(&mut self.1, true);
            let lie = |k: usize| u32::from(!first && k % 2 == 1);
            let answers = points.iter().enumerate().map(|(k, i)| (self.0[*i] + lie(k)) % 5);
            Ok(answers.collect())
        }
    }
    let (data, build) = (Data::new()?, mlp(16));
    let (labels, rounds) = (data.pool.labels(), Rounds::equal(20, 16, 2));
    let losses = |strategy: &dyn Strategy, oracle: &mut dyn Oracle| -> Result<Vec<u64>> {
        let (run, mut losses) = (Run::in_memory(), Vec::new());
        let watch = &mut |progress: &Progress| losses.push(progress.loss.to_bits());
        let twins = (&model("small", &build), &model("large", &build));
        let stages = Stages { run: &run, watch };
        active_learning(data.task(), twins, strategy, &rounds, oracle, 7, stages)?;
        Ok(losses)
    };
    let honest = losses(&Half, &mut KnownLabels(labels))?;
    assert_eq!(honest, losses(&Half, &mut Lying(labels, false))?);
    assert_ne!(honest, losses(&Entropy, &mut KnownLabels(labels))?);
    assert_ne!(honest, losses(&Entropy, &mut Lying(labels, false))?);
    Ok(())
}

/// Every way there is, on noisy labels: names, sizes and what is known of flips.
#[test]
fn a_comparison_has_a_row_for_every_way() -> Result<()> {
    let shape = ClusterOptions {
        points: 200,
        clusters: 10,
        test: 100,
        validation: 40,
        dimensions: 4,
        label_noise: 0.2,
        ..Default::default()
    };
    let made = clusters(&shape, &mut ChaCha8Rng::seed_from_u64(3))?;
    let validation = Some(&made.validation as &dyn Source);
    let task = Task { pool: &made.train, validation, test: &made.test, flipped: &made.flipped };
    let joint = Joint { steps: 4, ..Default::default() };
    let options =
        ComparisonOptions { selectors: Selector::usual(), fractions: vec![0.2, 0.5], joint };
    let (build, run) = (mlp(6), Run::in_memory());
    let model = model("mlp", &build);
    let once = |run: &Run| compare(task, &model, &options, 3, Stages { run, watch: &mut |_| {} });
    let found = once(&run)?;
    assert_eq!(found.outcomes.len(), 2 * 10 + 2);
    for o in &found.outcomes {
        let alone = ["validation alone", "full data"].contains(&o.strategy.as_str());
        let points = if o.strategy == "validation alone" { 40.0 } else { 200.0 * o.fraction };
        assert_eq!((o.points as f64, o.fraction == 1.0), (points, alone), "{o:?}");
        let unknown = ["validation alone", "fresh-random"].contains(&o.strategy.as_str());
        assert_eq!(o.flipped.is_none(), unknown, "{o:?}");
        assert!((0.0..=1.0).contains(&o.error) && o.seed == 3);
    }
    let selectors: Vec<&str> = found.detections.iter().map(|d| d.selector.as_str()).collect();
    let expected = ["gleaner (unary)", "gleaner, both heads", "gleaner, embedding", "largest-loss"];
    assert_eq!(selectors, expected);
    // Kept, so the same again; and without a validation part what needs one is refused.
    assert_eq!(once(&run)?, found);
    let (blind, run) = (Task { validation: None, ..task }, Run::in_memory());
    for selector in [Selector::ValidationAlone, Selector::Untrained] {
        let options = ComparisonOptions {
            selectors: vec![selector],
            fractions: vec![0.2],
            joint: Joint::default(),
        };
        let refused = compare(blind, &model, &options, 0, Stages { run: &run, watch: &mut |_| {} });
        assert!(matches!(refused, Err(Error::Shape { .. })));
    }
    Ok(())
}

/// What a strategy sees of a training in a comparison is what happened in it: the same by hand, to the bit.
#[test]
fn dual_looks_at_the_probabilities_along_training() -> Result<()> {
    let (data, build) = (Data::new()?, mlp(12));
    let (model, seed) = (model("mlp", &build), 4);
    let learner = (model.build)(seed)?;
    let mut training = Training::new(&learner, &data.pool, Sampling::All, &model.training, seed)?;
    training = training.with_history();
    while !training.is_finished() {
        training.epoch(|_| {})?;
    }
    let history = training.into_history().unwrap();
    let points = data.pool.len();
    assert_eq!(history.label_probabilities.len(), 6 * points);
    let evidence = Evidence::new(points).with_label_probabilities(&history.label_probabilities)?;

    let both: [Box<dyn Strategy>; 2] = [Box::<Dual>::default(), Box::<BetaSampled>::default()];
    let count = points / 5;
    let seeds = Seeds::new(seed);
    let by_hand = both.iter().map(|strategy| -> Result<f64> {
        let chosen = strategy.select(&evidence, count, &mut seeds.stream(0))?.indices;
        let fresh = (model.build)(seeds.part(Part::Targets).value())?;
        let sampling = Sampling::Fixed(&chosen);
        evaluate(&fresh, &data.pool, sampling, &data.test, &model.training, seed)
    });
    let by_hand = by_hand.collect::<Result<Vec<_>>>()?;
    let selectors = both.into_iter().map(Selector::Strategy).collect();
    let joint = Joint::default();
    let options = ComparisonOptions { selectors, fractions: vec![0.2], joint };
    let run = Run::in_memory();
    let stages = Stages { run: &run, watch: &mut |_| {} };
    let found = compare(data.task(), &model, &options, seed, stages)?;
    let errors: Vec<f64> = found.outcomes.iter().map(|o| o.error).collect();
    assert_eq!(errors, by_hand);
    assert!(found.outcomes.iter().all(|o| o.seconds.training > 0.0), "{:?}", found.outcomes);
    Ok(())
}

/// Another name is another row, with the same choices; the settings say what is behind it.
#[test]
fn any_way_may_have_another_name() -> Result<()> {
    let (data, build) = (Data::new()?, mlp(12));
    let model = model("mlp", &build);
    let entropy = || Selector::Strategy(Box::new(Entropy));
    let ways = [
        entropy(),
        Selector::named("unsure", entropy()),
        Selector::named("new each time", Selector::FreshRandom),
        Selector::named("twice", Selector::named("once", Selector::FullData)),
    ];
    let joint = Joint::default();
    let options = ComparisonOptions { selectors: ways.into(), fractions: vec![0.2], joint };
    let run = Run::in_memory();
    let stages = Stages { run: &run, watch: &mut |_| {} };
    let found = compare(data.task(), &model, &options, 0, stages)?.outcomes;
    let names: Vec<&str> = found.iter().map(|o| o.strategy.as_str()).collect();
    assert_eq!(names, ["entropy", "unsure", "new each time", "twice"]);
    assert_eq!(found[0].error, found[1].error);
    assert!(found[1].seconds.training > 0.0 && found[3].fraction == 1.0);
    assert_eq!(options.trainings(), 1 + 4);
    let mut noted = Default::default();
    options.note(&mut noted);
    let expected =
        "entropy, unsure (entropy), new each time (fresh-random), twice (once (full data))";
    assert_eq!(noted["selectors"], expected);
    Ok(())
}

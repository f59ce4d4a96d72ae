//! Several ranks that do one job together do what one process does.

use candle_core::{DType, Device, Tensor};
use gleaner::choose::{Streaming, Tasks, named};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::data::{Batch, Dataset, Source, Subset};
use gleaner::joint::{Eviction, Heads, ModelOptions};
use gleaner::layer::bridge::to_vec;
use gleaner::learn::{Mlp, MlpOptions};
use gleaner::ranks::{Ranks, Threads, agreed};
use gleaner::{Error, Learner, Result, Seeds, Trainer, TrainerOptions};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn data(points: usize) -> (Dataset, Dataset) {
    let options = ClusterOptions {
        points,
        clusters: 12,
        classes: 3,
        dimensions: 4,
        label_noise: 0.2,
        validation: 40,
        test: 20,
        ..Default::default()
    };
    let made = clusters(&options, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    (made.train, made.validation)
}

fn trainer(validation: &Dataset, dtype: DType, eviction: Eviction) -> Result<Trainer<Mlp>> {
    let shape = MlpOptions { inputs: 4, hidden: vec![16], classes: 3 };
    let learner = Mlp::new(&shape, 1, dtype, &Device::Cpu)?;
    let model = ModelOptions { heads: Heads::Both, ..Default::default() };
    let (warm_up, memory, remembered) = (2, 20, 10);
    let options =
        TrainerOptions { model, warm_up, memory, eviction, remembered, ..Default::default() };
    Trainer::new(learner, &validation.to_dtype(dtype)?, options, 5)
}

/// Everything that a checkpoint holds, to the bit.
fn state(trainer: &Trainer<Mlp>) -> Result<Vec<(String, Vec<u64>)>> {
    let state = trainer.checkpoint()?.into_tensors().into_iter();
    state
        .map(|(name, tensor)| Ok((name, to_vec(&tensor)?.into_iter().map(f64::to_bits).collect())))
        .collect()
}

/// Which points a step takes, by the rank.
fn batches(data: &Dataset, ranks: usize, step: usize) -> Result<Vec<Batch>> {
    let points = data.points();
    let of = |rank: usize| -> Vec<usize> {
        (0..12).map(|k| ((step * ranks + rank) * 12 + 5 * k) % points).collect()
    };
    (0..ranks).map(|rank| data.batch_at(&of(rank))).collect()
}

#[test]
fn ranks_train_as_one_process_does() -> Result<()> {
    for (dtype, eviction) in [(DType::F32, Eviction::OldestOut), (DType::F64, Eviction::Reservoir)]
    {
        let (train, validation) = data(300);
        let train = train.to_dtype(dtype)?;
        for size in [1, 2, 3] {
            let mut alone = trainer(&validation, dtype, eviction)?;
            for step in 0..9 {
                alone.step_parts(&batches(&train, size, step)?)?;
            }
            let alone = state(&alone)?;
            let together = Threads::run(size, |ranks| -> Result<_> {
                let mut trainer = trainer(&validation, dtype, eviction)?;
                for step in 0..9 {
                    let batch = &batches(&train, size, step)?[ranks.rank()];
                    trainer.step_on(ranks, batch)?;
                }
                state(&trainer)
            })?;
            for found in together {
                assert!(found? == alone, "{dtype:?} on {size} ranks");
            }
        }
    }
    Ok(())
}

/// A trainer that is loaded goes on as if it had not been saved, and one rank does what none does.
#[test]
fn ranks_resume_and_one_is_enough() -> Result<()> {
    let (train, validation) = data(200);
    let made = || trainer(&validation, DType::F32, Eviction::OldestOut);
    let mut plain = made()?;
    plain.fit_until(&train, 15, 6, 9, |_| {})?;
    let alone = Threads::run(1, |ranks| -> Result<_> {
        let mut trainer = made()?;
        trainer.fit_on(ranks, &train, 15, 6, 9, |_| {})?;
        state(&trainer)
    })?;
    assert!(alone.into_iter().next().unwrap()? == state(&plain)?);
    let broken = Threads::run(2, |ranks| -> Result<_> {
        let mut first = made()?;
        first.fit_on(ranks, &train, 15, 4, 9, |_| {})?;
        let mut second = made()?;
        second.restore(&first.checkpoint()?)?;
        second.fit_on(ranks, &train, 15, 7, 9, |_| {})?;
        state(&second)
    })?;
    let unbroken = Threads::run(2, |ranks| -> Result<_> {
        let mut trainer = made()?;
        trainer.fit_on(ranks, &train, 15, 7, 9, |_| {})?;
        state(&trainer)
    })?;
    let broken = broken.into_iter().collect::<Result<Vec<_>>>()?;
    assert!(broken == unbroken.into_iter().collect::<Result<Vec<_>>>()?);
    assert!(broken[0] == broken[1]);
    Ok(())
}

/// One rank's fault is told to all, nobody waits, and nothing has changed.
#[test]
fn a_failure_reaches_all_ranks() -> Result<()> {
    let (train, validation) = data(200);
    let told = Threads::run(3, |ranks| -> Result<_> {
        let mut trainer = trainer(&validation, DType::F32, Eviction::OldestOut)?;
        trainer.fit_on(ranks, &train, 10, 3, 0, |_| {})?;
        let before = state(&trainer)?;
        let mut batch = batches(&train, 3, 0)?.remove(ranks.rank());
        if ranks.rank() == 1 {
            batch.inputs = (batch.inputs * f64::NAN)?;
        }
        let error = trainer.step_on(ranks, &batch).map(|_| ());
        let unchanged = state(&trainer)? == before;
        // And they can go on.
        trainer.fit_on(ranks, &train, 10, 4, 0, |_| {})?;
        Ok((error, unchanged))
    })?;
    for (rank, told) in told.into_iter().enumerate() {
        let (error, unchanged) = told?;
        assert!(unchanged, "rank {rank}");
        match error {
            Err(Error::Rank { failed: 1, rank: own }) => assert!(rank != 1 && own == rank),
            Err(_) => assert_eq!(rank, 1),
            Ok(()) => panic!("rank {rank} went on"),
        }
    }
    assert!(Threads::new(0).is_err());
    let uneven = Threads::run(2, |ranks| ranks.sum(&mut vec![0.0; ranks.rank()]))?;
    assert!(uneven.iter().all(|sum| matches!(sum, Err(Error::Shape { .. }))));
    Ok(())
}

#[test]
fn ranks_choose_as_tasks_of_one_process_do() -> Result<()> {
    let (all, _) = data(3_000);
    let parts = |rank: usize| Subset::new(&all, (rank * 1_000..(rank + 1) * 1_000).collect());
    let parts = (0..3).map(parts).collect::<Result<Vec<_>>>()?;
    let sources: Vec<&dyn Source> = parts.iter().map(|part| part as &dyn Source).collect();
    for name in ["random", "k-center", "convex", "facility-location"] {
        let method = named(name)?;
        let streaming: &dyn Streaming = method.as_streaming().unwrap();
        let (tasks, seeds) = (Tasks::new(streaming, 3)?, Seeds::new(8));
        let expected = tasks.choose(&sources, 100, seeds)?;
        let found =
            Threads::run(3, |ranks| tasks.choose_on(ranks, &parts[ranks.rank()], 100, seeds))?;
        for found in found {
            assert_eq!(found?, expected, "{name}");
        }
        let too_few = Threads::run(2, |ranks| tasks.choose_on(ranks, &parts[0], 100, seeds))?;
        assert!(too_few.iter().all(Result::is_err), "{name}");
        struct Broken<'a>(&'a Subset<'a>);
        impl Source for Broken<'_> {
            fn labels(&self) -> &[u32] {
                self.0.labels()
            }
            fn classes(&self) -> usize {
                self.0.classes()
            }
            fn inputs_at(&self, _: &[usize]) -> Result<Tensor> {
                Err(Error::OutOfRange { what: "row", rule: "readable", found: 0.0 })
            }
        }
        if name == "random" {
            continue; // looks at no row
        }
        let told = Threads::run(3, |ranks| match ranks.rank() {
            2 => tasks.choose_on(ranks, &Broken(&parts[2]), 100, seeds),
            rank => tasks.choose_on(ranks, &parts[rank], 100, seeds),
        })?;
        assert!(matches!(told[0], Err(Error::Rank { failed: 2, .. })), "{name}: {:?}", told[0]);
        assert!(matches!(told[2], Err(Error::OutOfRange { .. })), "{name}");
    }
    Ok(())
}

/// Another seed on one rank is told before the first step.
#[test]
fn trainers_that_differ_are_refused() -> Result<()> {
    let (train, validation) = data(200);
    let told = Threads::run(2, |ranks| -> Result<()> {
        let mut trainer = trainer(&validation, DType::F32, Eviction::OldestOut)?;
        if ranks.rank() == 1 {
            let (_, variable) = &trainer.learner().variables()[0];
            variable.set(&(variable.as_tensor() + 1.0)?)?;
        }
        trainer.fit_on(ranks, &train, 10, 3, 0, |_| panic!("no step is taken"))
    })?;
    assert!(told.iter().all(|told| matches!(told, Err(Error::Shape { .. }))), "{told:?}");
    Ok(())
}

/// Nobody waits for a rank that has ended, whether it returned or panicked.
#[test]
fn who_has_ended_is_not_waited_for() -> Result<()> {
    for panics in [false, true] {
        let told = std::panic::catch_unwind(|| {
            Threads::run(3, |ranks| match ranks.rank() {
                1 if panics => panic!("on purpose"),
                1 => Ok(0),
                _ => ranks.gather(&[1.0]).map(|all| all.len()),
            })
        });
        match told {
            Ok(told) => {
                let told = told?;
                assert!(!panics && told[1].is_ok());
                assert!(matches!(told[0], Err(Error::Rank { rank: 0, failed: 1 })));
                assert!(matches!(told[2], Err(Error::Rank { failed: 0 | 1, .. })));
            }
            Err(_) => assert!(panics),
        }
    }
    Ok(())
}

#[test]
fn what_each_says_reaches_all() -> Result<()> {
    let heard = Threads::run(4, |ranks| -> Result<_> {
        let mut heard = Vec::new();
        for round in 0..50 {
            heard.push(ranks.gather(&vec![round as f64; (ranks.rank() + round) % 3])?);
        }
        agreed(ranks, Ok(heard))
    })?;
    let expected = |round: usize| -> Vec<Vec<f64>> {
        (0..4).map(|rank| vec![round as f64; (rank + round) % 3]).collect()
    };
    for heard in heard {
        assert!(heard?.into_iter().eq((0..50).map(expected)));
    }
    Ok(())
}

//! Named programs.

#[test]
#[ignore]
fn look() {
    let seed: u64 = std::env::var("SEED").unwrap().parse().unwrap();
    let kinds = match std::env::var("KIND").as_deref() {
        Ok("s") => crate::draw::SMOOTH,
        Ok("a") => crate::draw::ALL,
        _ => crate::draw::CURVED,
    };
    let d = crate::draw::program(seed, kinds);
    let o = d.program.solve(d.values(), &Default::default()).unwrap();
    println!("cones {:?} n {} P {} curved {}", d.program.cones(), d.x.len(), d.p.len(), d.curved);
    println!("status {:?}", o.status());
    if let Some(s) = o.as_solution() {
        println!("{:?}\n{:?}", s.verdict(), s.diagnostics());
        println!(
            "x  {:.5?}\nx* {:.5?}\ns  {:.3?}\ns* {:.3?}\nz  {:.3?}\nz* {:.3?}",
            s.x(),
            d.x,
            s.s(),
            d.s,
            s.z(),
            d.z
        );
        let w: Vec<f64> = s.z().iter().zip(s.s()).map(|(z, s)| z - s).collect();
        println!("w {w:.3?}");
    } else {
        println!("{o:?}");
    }
}

//! What every partition promises, and what each one is for.

use proptest::prelude::*;

use super::*;

/// Labels of a corpus of this size, a third of them 0, two thirds 1.
fn labels(texts: usize) -> Vec<usize> {
    (0..texts).map(|i| usize::from(i % 3 != 0)).collect()
}

fn deal(clients: u32, partition: Partition) -> Deal {
    Deal {
        gold: 4,
        unlabelled: 16,
        clients,
        partition,
        ..Deal::default()
    }
}

fn texts(share: &Share) -> Vec<usize> {
    share
        .gold
        .iter()
        .chain(&share.unlabelled)
        .copied()
        .collect()
}

/// Share of label 0 among each client's texts.
fn mixes(shares: &[Share], labels: &[usize]) -> Vec<f64> {
    let mix = |share: &Share| {
        let texts = texts(share);
        let first = texts.iter().filter(|&&text| labels[text] == 0).count();
        first as f64 / texts.len() as f64
    };
    shares.iter().map(mix).collect()
}

fn any_partition() -> impl Strategy<Value = Partition> {
    prop_oneof![
        Just(Partition::Iid),
        (0.01f32..100.0).prop_map(|alpha| Partition::LabelMix { alpha }),
        (0.01f32..100.0).prop_map(|alpha| Partition::LabelSpread { alpha }),
        (1u32..=5).prop_map(|per_client| Partition::LabelShards { per_client }),
        Just(Partition::Column {
            column: "domain".into()
        }),
    ]
}

fn any_sizes() -> impl Strategy<Value = Sizes> {
    prop_oneof![
        Just(Sizes::Equal),
        (0f32..3.0).prop_map(|sigma| Sizes::LogNormal { sigma }),
        (0f32..3.0).prop_map(|exponent| Sizes::PowerLaw { exponent }),
    ]
}

fn any_placement() -> impl Strategy<Value = GoldPlacement> {
    prop_oneof![
        Just(GoldPlacement::Balanced),
        (0.01f32..100.0).prop_map(|alpha| GoldPlacement::Dirichlet { alpha }),
        (0.01f32..=1.0).prop_map(|holders| GoldPlacement::Few { holders }),
    ]
}

proptest! {
    #[test]
    fn no_text_is_dealt_twice_and_sizes_are_as_asked(
        partition in any_partition(), sizes in any_sizes(), gold_placement in any_placement(),
        clients in 1u32..=10, seed: u32,
    ) {
        let mut deal = Deal { sizes, gold_placement, ..deal(clients, partition.clone()) };
        if deal.check().is_err() {
            deal.sizes = Sizes::Equal;
        }
        deal.check().unwrap();
        let labels = labels(230);
        let groups: Vec<usize> = (0..230).map(|i| i % 7).collect();
        let shares = deal.shares(&labels, &groups, seed).unwrap();
        prop_assert_eq!(shares.len(), clients as usize);
        prop_assert_eq!(&shares, &deal.shares(&labels, &groups, seed).unwrap());
        let mut seen = [false; 230];
        for text in shares.iter().flat_map(texts) {
            prop_assert!(!std::mem::replace(&mut seen[text], true));
        }
        let total: usize = shares.iter().map(|share| texts(share).len()).sum();
        match partition {
            // A client cannot have more of one value than there are.
            Partition::Column { .. } => prop_assert!(total <= 20 * clients as usize),
            _ => prop_assert_eq!(total, 20 * clients as usize),
        }
        let equal = deal.sizes == Sizes::Equal;
        for (shard, share) in (0..).zip(&shares) {
            prop_assert_eq!(share, &deal.share_grouped(&labels, &groups, shard, seed).unwrap());
            let size = texts(share).len();
            prop_assert!(size >= 1);
            match partition {
                Partition::Iid | Partition::LabelMix { .. } | Partition::LabelShards { .. } if equal => {
                    prop_assert!(size.abs_diff(20) <= 5);
                }
                _ => {}
            }
            if !matches!(gold_placement, GoldPlacement::Few { .. }) {
                prop_assert!(!share.gold.is_empty());
            }
        }
    }

    #[test]
    fn equal_sizes_are_equal(alpha in 0.01f32..100.0, gold_placement in any_placement(), seed: u32) {
        for partition in [Partition::Iid, Partition::LabelMix { alpha }] {
            let deal = Deal { gold_placement, ..deal(10, partition) };
            for share in deal.shares(&labels(200), &[], seed).unwrap() {
                prop_assert_eq!(texts(&share).len(), 20);
            }
        }
    }

    #[test]
    fn large_alpha_approaches_the_prior(seed: u32) {
        let labels = labels(600);
        for partition in [Partition::LabelMix { alpha: 1e6 }, Partition::LabelSpread { alpha: 1e6 }] {
            let shares = deal(10, partition).shares(&labels, &[], seed).unwrap();
            for mix in mixes(&shares, &labels) {
                prop_assert!((mix - 1.0 / 3.0).abs() < 0.06, "{}", mix);
            }
        }
    }

    #[test]
    fn one_shard_is_one_label(clients in 1u32..=10, seed: u32) {
        let labels: Vec<usize> = (0..200).map(|i| i % 2).collect();
        // With an even number of clients no shard spans two labels.
        let clients = 2 * clients.div_ceil(2);
        let shares = deal(clients, Partition::LabelShards { per_client: 1 }).shares(&labels, &[], seed).unwrap();
        for mix in mixes(&shares, &labels) {
            prop_assert!(mix == 0.0 || mix == 1.0);
        }
    }

    #[test]
    fn clients_hold_few_values_of_a_column(clients in 2u32..=10, values in 1usize..20, seed: u32) {
        let groups: Vec<usize> = (0..400).map(|i| i % values).collect();
        let column = Partition::Column { column: "author".into() };
        let shares = deal(clients, column).shares(&labels(400), &groups, seed).unwrap();
        for share in shares {
            let mut held: Vec<usize> = texts(&share).into_iter().map(|text| groups[text]).collect();
            held.sort_unstable();
            held.dedup();
            prop_assert!(held.len() <= values.div_ceil(clients as usize));
        }
    }

    #[test]
    fn balanced_gold_is_balanced(seed: u32) {
        let deal = Deal { sizes: Sizes::LogNormal { sigma: 0.1 }, ..deal(10, Partition::Iid) };
        let labels = labels(300);
        for share in deal.shares(&labels, &[], seed).unwrap() {
            let first = share.gold.iter().filter(|&&text| labels[text] == 0).count();
            prop_assert!(share.gold.len().abs_diff(2 * first) <= 1);
        }
    }

    #[test]
    fn few_clients_hold_all_gold(seed: u32) {
        let gold_placement = GoldPlacement::Few { holders: 0.2 };
        let deal = Deal { gold_placement, ..deal(10, Partition::Iid) };
        let shares = deal.shares(&labels(300), &[], seed).unwrap();
        let mut gold: Vec<usize> = shares.iter().map(|share| share.gold.len()).collect();
        gold.sort_unstable();
        prop_assert_eq!(gold, [0, 0, 0, 0, 0, 0, 0, 0, 20, 20]);
    }

    #[test]
    fn plain_shares_within_the_corpus_do_not_overlap(
        labels in prop::collection::vec(0usize..3, 60..200), seed: u32
    ) {
        let deal = deal(0, Partition::Iid);
        let mut seen = vec![false; labels.len()];
        for shard in 0..labels.len() as u32 / 20 {
            for text in texts(&deal.share(&labels, shard, seed).unwrap()) {
                prop_assert!(!std::mem::replace(&mut seen[text], true));
            }
        }
    }

    #[test]
    fn plain_gold_is_balanced(shard in 0u32..40, seed: u32) {
        let labels: Vec<usize> = (0..900).map(|i| i % 2).collect();
        let share = Deal::default().share(&labels, shard, seed).unwrap();
        prop_assert_eq!(share.gold.iter().filter(|&&i| labels[i] == 0).count(), 4);
    }
}

/// Mean over 200 seeds of what `measure` finds in the shares of 10 clients.
fn mean(deal: &Deal, labels: &[usize], measure: impl Fn(&[Share]) -> f64) -> f64 {
    let one = |seed| measure(&deal.shares(labels, &[], seed).unwrap());
    (0..200).map(one).sum::<f64>() / 200.0
}

#[test]
fn small_alpha_gives_each_client_few_labels() {
    let labels = labels(900);
    let pure = |alpha| {
        let deal = deal(10, Partition::LabelMix { alpha });
        mean(&deal, &labels, |shares| {
            let pure = mixes(shares, &labels).into_iter();
            pure.filter(|mix| mix.fract() == 0.0).count() as f64 / 10.0
        })
    };
    assert!(pure(0.01) > 0.9);
    assert!(pure(100.0) < 0.1);
}

#[test]
fn small_alpha_spreads_a_label_over_few_clients() {
    let labels = labels(200);
    let largest_two = |alpha| {
        let deal = deal(10, Partition::LabelSpread { alpha });
        mean(&deal, &labels, |shares| {
            let mut sizes: Vec<usize> = shares.iter().map(|share| texts(share).len()).collect();
            sizes.sort_unstable();
            (sizes[8] + sizes[9]) as f64 / 200.0
        })
    };
    assert!(largest_two(0.01) > 0.8);
    assert!(largest_two(100.0) < 0.3);
}

#[test]
fn small_alpha_makes_gold_lean_to_one_label() {
    let labels = labels(300);
    let pure = |alpha| {
        let gold_placement = GoldPlacement::Dirichlet { alpha };
        let deal = Deal {
            gold_placement,
            ..deal(10, Partition::Iid)
        };
        mean(&deal, &labels, |shares| {
            let one = |share: &&Share| {
                let first = labels[share.gold[0]];
                share.gold.len() == 4 && share.gold.iter().all(|&text| labels[text] == first)
            };
            shares.iter().filter(one).count() as f64 / 10.0
        })
    };
    assert!(pure(0.01) > 0.9);
    assert!(pure(100.0) < 0.1);
}

#[test]
fn sizes_follow_the_power_law() {
    let sizes = Sizes::PowerLaw { exponent: 1.0 };
    let deal = Deal {
        sizes,
        ..deal(4, Partition::Iid)
    };
    let shares = deal.shares(&labels(80), &[], 1).unwrap();
    let mut sizes: Vec<usize> = shares.iter().map(|share| texts(share).len()).collect();
    sizes.sort_unstable();
    // 1 each, and 76 by 1 : 1/2 : 1/3 : 1/4.
    assert_eq!(sizes, [10, 13, 19, 38]);
}

#[test]
fn plain_deal_is_what_it_always_was() {
    let deal = Deal {
        gold: 2,
        unlabelled: 3,
        ..Deal::default()
    };
    let labels: Vec<usize> = (0..12).map(|i| i % 2).collect();
    let share = deal.share(&labels, 1, 7).unwrap();
    assert_eq!(share.gold, [3, 8]);
    assert_eq!(share.unlabelled, [5, 6, 1]);
    assert_eq!(deal.share(&labels, 3, 7).unwrap(), share);
}

#[test]
fn small_corpus_gives_a_plain_deal_what_it_has() {
    let deal = Deal {
        unlabelled: 9,
        ..deal(0, Partition::Iid)
    };
    let share = deal.share(&[0, 1, 0], 7, 1).unwrap();
    assert_eq!((share.gold.len(), share.unlabelled.len()), (3, 0));
    let nothing = Deal::default().share(&[], 0, 0).unwrap();
    assert!(nothing.gold.is_empty() && nothing.unlabelled.is_empty());
}

#[test]
fn clients_beyond_the_number_share_with_earlier_ones() {
    let deal = deal(5, Partition::LabelMix { alpha: 1.0 });
    let share = |shard| deal.share(&labels(200), shard, 3).unwrap();
    assert_eq!(share(7), share(2));
}

#[test]
fn corpus_too_small_is_told() {
    let error = |deal: Deal, groups: &[usize]| {
        let error = deal.shares(&labels(100), groups, 0).unwrap_err();
        (error.field.clone(), error.to_string())
    };
    let (field, words) = error(deal(6, Partition::LabelMix { alpha: 1.0 }), &[]);
    assert_eq!(field, "texts.deal.clients");
    assert!(
        words.contains("1 to 5 clients of 20 texts") && words.contains("got 6"),
        "{words}"
    );
    let (field, words) = error(deal(5, Partition::LabelShards { per_client: 21 }), &[]);
    assert_eq!(field, "texts.deal.partition.per_client");
    assert!(words.contains("at most 20 shards"), "{words}");
    let column = Partition::Column {
        column: "domain".into(),
    };
    let (field, words) = error(deal(5, column), &[1, 2]);
    assert_eq!(field, "texts.deal.partition.column");
    assert!(
        words.contains("100 texts") && words.contains("2 values"),
        "{words}"
    );
}

#[test]
fn old_deals_are_still_read() {
    let old: Deal = serde_json::from_str(r#"{"gold":4,"unlabelled":16}"#).unwrap();
    assert_eq!(old, deal(0, Partition::Iid));
    let new = r#"{"clients":9,"partition":{"by":"label_mix","alpha":0.5}}"#;
    let new: Deal = serde_json::from_str(new).unwrap();
    assert_eq!(new.partition, Partition::LabelMix { alpha: 0.5 });
    new.check().unwrap();
}

#[test]
fn each_bad_field_is_named() {
    type Spoil = fn(&mut Deal);
    let cases: [(&str, Spoil); 8] = [
        ("gold", |d| d.gold = 0),
        ("clients", |d| d.clients = 0),
        ("partition.alpha", |d| {
            d.partition = Partition::LabelMix { alpha: 0.0 }
        }),
        ("partition.per_client", |d| {
            d.partition = Partition::LabelShards { per_client: 0 }
        }),
        ("partition.column", |d| {
            d.partition = Partition::Column {
                column: String::new(),
            }
        }),
        ("sizes.sigma", |d| {
            d.sizes = Sizes::LogNormal { sigma: f32::NAN }
        }),
        ("sizes", |d| {
            d.sizes = Sizes::PowerLaw { exponent: 1.0 };
            d.partition = Partition::LabelSpread { alpha: 1.0 };
        }),
        ("gold_placement.holders", |d| {
            d.gold_placement = GoldPlacement::Few { holders: 0.0 }
        }),
    ];
    for (field, spoil) in cases {
        let mut deal = deal(5, Partition::LabelMix { alpha: 1.0 });
        spoil(&mut deal);
        let error = deal.check().unwrap_err();
        assert_eq!(error.field, format!("texts.deal.{field}"));
    }
}

//! What the arguments mean.

use super::*;

#[test]
fn a_time_is_a_span_before_now_or_a_moment() {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let millis = |text: &str| When::parse(text).map(|when| when.moment(now).as_millis());
    for (text, expected) in [
        ("30m", 1_700_000_000_000 - 30 * 60_000),
        ("2h", 1_700_000_000_000 - 7_200_000),
        ("1d", 1_700_000_000_000 - 86_400_000),
        ("1h 30m", 1_700_000_000_000 - 5_400_000),
        ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
    ] {
        assert_eq!(millis(text), Ok(expected), "{text}");
    }
    for wrong in [
        "",
        "30",
        "yesterday",
        "-2h",
        "2023-11-14",
        "1960-01-01T00:00:00Z",
    ] {
        let refused = millis(wrong).expect_err("it is no time");
        assert!(refused.contains("`30m`"), "{wrong}: {refused}");
    }
}

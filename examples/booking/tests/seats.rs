//! The program as its user meets it.

use std::process::Command;

#[test]
fn one_seat_is_one_persons_however_often_it_is_asked_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_booking")).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("it speaks text");
    let expected = [
        r#"ada: booked {"seat":"12A"}"#,
        r#"ada: had booked {"seat":"12A"}"#,
        "bob: taken: the seat 12A is taken",
        r#"bob: booked {"seat":"12B"}"#,
        r#"bob: 12A is of "ada""#,
        "bob: 12C is of null",
        "bob: no_such_seat: a seat is a row and a letter, such as 12A",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

//! Bodies that are larger or nested deeper than any may be: whichever request has one is refused, and nothing of it is done.

use super::{
    description::Description,
    requests::{LARGE, Run},
    tour::TOUR,
};

/// Far deeper than anything is read.
const DEPTH: usize = 20_000;

#[tokio::test]
async fn a_body_beyond_its_cap_is_refused_by_every_operation_and_nothing_of_it_is_done() {
    let http = Description::of_http();
    let operations = http.operations();
    // All that can succeed, once as it is, and once with what is beyond the caps before each: the answers are the same.
    let (mut plain, mut beside) = (Run::new(&http, 1).await, Run::new(&http, 1).await);
    let (mut tried, mut wrong) = (0, Vec::new());
    for stop in TOUR {
        let expected = match plain.stop(&operations, stop) {
            Some((operation, asked)) => plain.ask(operation, &asked).await,
            None => None,
        };
        let Some((operation, asked)) = beside.stop(&operations, stop) else {
            assert_eq!(expected, None, "{stop:?} could not be asked");
            continue;
        };
        if operation.bodies.is_some() && !asked.body.is_empty() {
            tried += 1;
            for (what, body, allowed) in
                [("large", vec![b' '; LARGE], [413, 413]), ("deep", vec![b'['; DEPTH], [400, 413])]
            {
                let mut beyond = asked.clone();
                beyond.body = body;
                let status = beside.ask(operation, &beyond).await;
                // The connection may be reset under a body that nobody reads.
                if status.is_some_and(|status| !allowed.contains(&status)) {
                    wrong.push(format!("{} {what}: {status:?}", operation.id));
                }
            }
        }
        let status = beside.ask(operation, &asked).await;
        if status != expected {
            wrong.push(format!("{} afterwards: {status:?}, and {expected:?} without", operation.id));
        }
    }
    assert!(tried >= 25, "{tried} operations have a body");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(plain.problems(), [] as [String; 0]);
    assert_eq!(beside.problems(), [] as [String; 0]);
}

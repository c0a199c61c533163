//! What audits came to so far, in the text that Prometheus reads, and the port that serves it.
//!
//! Whoever reaches the port may be anybody: connections are few at a time, each has one time limit and one small question, and the
//! answer is made from counters.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pleach_client::{Audit, FindingKind};
use pleach_types::Height;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::report::AuditResult;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 16;
/// How long one connection may take.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// Bytes of a question.
const QUESTION_BYTES_MAX: usize = 8 << 10;
/// Pause after a connection could not be taken: the system may lack descriptors.
const AGAIN: Duration = Duration::from_millis(100);

/// What audits came to so far.
#[derive(Clone, Default)]
pub struct AuditTally(Arc<Mutex<AuditCounts>>);

#[derive(Default)]
struct AuditCounts {
    audits: BTreeMap<AuditResult, u64>,
    findings: BTreeMap<FindingKind, u64>,
    good: Option<(Height, Instant)>,
    answering: usize,
    members: usize,
}

impl AuditTally {
    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn counts(&self) -> MutexGuard<'_, AuditCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an audit.
    pub fn audited(&self, outcome: AuditResult, audit: Option<&Audit>) {
        let mut counts = self.counts();
        *counts.audits.entry(outcome).or_default() += 1;
        counts.answering = 0;
        let Some(audit) = audit else { return };
        (counts.answering, counts.members) = (audit.members.len(), audit.of);
        for finding in &audit.findings {
            *counts.findings.entry(finding.kind).or_default() += finding.times;
        }
        if outcome == AuditResult::Clean {
            counts.good = Some((audit.height, Instant::now()));
        }
    }

    /// The text of `GET /metrics`.
    pub fn text(&self) -> String {
        let counts = self.counts();
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, u64)>| {
            let base = name.trim_end_matches("_total");
            let _ = writeln!(text, "# HELP {base} {help}\n# TYPE {base} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let of = |outcome: AuditResult| counts.audits.get(&outcome).copied().unwrap_or(0);
        let audits = AuditResult::ALL.map(|outcome| (format!("{{outcome=\"{}\"}}", outcome.code()), of(outcome)));
        family("pleach_audits_total", "counter", "Audits, by how they ended.", audits.into());
        let of = |kind: FindingKind| counts.findings.get(&kind).copied().unwrap_or(0);
        let findings = FindingKind::ALL.map(|kind| (format!("{{kind=\"{}\"}}", kind.code()), of(kind)));
        family("pleach_audit_findings_total", "counter", "Findings, by kind.", findings.into());
        let alone = |value: usize| vec![(String::new(), value as u64)];
        family("pleach_audit_answering", "gauge", "Members that answered the last audit.", alone(counts.answering));
        family("pleach_audit_members", "gauge", "Members at the last audit.", alone(counts.members));
        let forked = counts.audits.contains_key(&AuditResult::Fork);
        family("pleach_audit_forked", "gauge", "Whether the cluster has forked.", alone(forked.into()));
        // Before the first good one there is none, which an alert has to see too.
        if let Some((height, at)) = counts.good {
            let sample = |value| vec![(String::new(), value)];
            family("pleach_audit_good_height", "gauge", "Height of the last audit that found nothing.", sample(height));
            let age = at.elapsed().as_secs();
            family("pleach_audit_good_age_seconds", "gauge", "Seconds since that audit ended.", sample(age));
        }
        text + "# EOF\n"
    }
}

/// Answers whoever asks, for ever.
pub async fn serve(listener: TcpListener, tally: AuditTally) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        // Beyond the limit it is closed at once.
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let tally = tally.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_WAIT, answer(stream, &tally)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, tally: &AuditTally) -> io::Result<()> {
    let mut question = Vec::new();
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        // Whoever reaches the port is a stranger: no answer is better than memory for whatever it sends.
        if question.len() >= QUESTION_BYTES_MAX || stream.read_buf(&mut question).await? == 0 {
            return Ok(());
        }
    }
    let (status, kind, body) = match () {
        () if question.starts_with(b"GET /metrics ") => {
            ("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", tally.text())
        }
        () => ("404 Not Found", "text/plain", "metrics are at /metrics\n".into()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

//! What a call comes to that somebody else has prepared.

use pleach_client::{Call, Client, Error, Prepared, RefusedBy, Simulation};
use pleach_types::Height;
use pleach_types::request::Body;

use super::no_request;
use crate::errors::CliError;
use crate::output::thousands;

/// A run over the records of now, of the call that a request makes.
pub(super) struct Trial {
    pub(super) height: Height,
    /// What it comes to, or why the cluster would refuse it.
    pub(super) outcome: Result<Simulation, String>,
}

impl Trial {
    /// Runs what the request runs, as if all had signed, and compares with what it declares: who signs declares it too, and the run would
    /// have found out anew.
    pub(super) async fn of(client: &Client, prepared: &Prepared) -> Result<Self, CliError> {
        let mut trial = run(client, prepared.body()).await?;
        // The run may be over records that are older than those of whoever prepared it.
        let record = client.cluster().await?;
        trial.height = trial.height.max(record.height());
        if let Ok(simulation) = &trial.outcome {
            let refusal = match misdeclared(prepared.body(), simulation, record.terms.gas) {
                None => overtaken(client, prepared).await?,
                refusal => refusal,
            };
            trial.outcome = refusal.map_or(trial.outcome, Err);
        }
        Ok(trial)
    }

    /// Refuses what is dated ahead: it could be sent when the records of that height are there, which nobody has seen who signs it now.
    pub(super) fn check_is_not_ahead(&self, prepared: &Prepared) -> Result<(), CliError> {
        let (base, height) = (prepared.base(), self.height);
        if base <= height {
            return Ok(());
        }
        let what = format!(
            "the request is made over the records of height {base}, and the cluster has come to {height}: nobody can know yet what it would do. \
             Nothing was signed"
        );
        Err(CliError::usage(what, "have it prepared anew, with --prepare, and ask who made it why it is dated ahead"))
    }
}

async fn run(client: &Client, body: &Body) -> Result<Trial, CliError> {
    let call = body.calls.first().ok_or_else(|| no_request("it calls no operation".into()))?;
    let twin = client.call(call.operation.clone(), call.arguments.clone()).touching(body.touched.iter().cloned());
    let twin = body.signers.iter().copied().fold(twin, Call::signed_by);
    match twin.dry_run().await {
        Ok(simulation) => Ok(Trial { height: simulation.height, outcome: Ok(simulation) }),
        Err(Error::Refused { refusal, by: RefusedBy::Simulation { height, .. } }) => {
            Ok(Trial { height, outcome: Err(format!("{} {refusal}", refusal.code())) })
        }
        Err(e) => Err(e.into()),
    }
}

/// Why the cluster would refuse what the request declares.
fn misdeclared(body: &Body, simulation: &Simulation, gas_max: u64) -> Option<String> {
    let gas = thousands(body.gas);
    if body.gas > gas_max {
        return Some(format!("it declares {gas} gas, and a request may take {}", thousands(gas_max)));
    }
    if body.gas < simulation.gas {
        return Some(format!("it declares {gas} gas, and the run takes {}", thousands(simulation.gas)));
    }
    let undeclared = simulation.touched.iter().find(|key| !body.touched.contains(key));
    undeclared.map(|key| format!("it touches {key}, which it does not declare"))
}

/// The first record that is not what it was when the request was made, which lies in the file beside what is signed.
async fn overtaken(client: &Client, prepared: &Prepared) -> Result<Option<String>, CliError> {
    let request = prepared.request();
    let now = client.get(&request.body.touched).await?;
    let mut both = now.iter().zip(&request.values);
    let changed = both.find(|(record, before)| record.value != **before).map(|(record, _)| &record.key);
    let base = prepared.base();
    Ok(changed
        .map(|key| format!("STALE_RECORD {key} is not what it was at height {base}, over which the request is made")))
}

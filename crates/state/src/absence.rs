//! Members that have led no block for long leave the next set. Pure.
//!
//! Genesis says after how many epochs (`absent_epochs`; 0 for never, and the record then knows nothing of it). Who led, and who missed its turn, is
//! what final blocks say of their places in the order ([`pleach_types::turns`]), so that every node counts the same. It is a
//! departure and no verdict: nothing is proved against the member, and the owners may add it again.
//!
//! What is in the way of whoever would have others leave:
//!
//! - One block within all those epochs, and the count begins anew. A Byzantine member that spoils most turns of whoever comes after it wins nothing.
//! - An epoch without a turn of the member does not count: with few blocks and many members there are such.
//! - Where more members have led nothing of late than may be faulty, nobody leaves. So many cannot be down, since the others alone could
//!   not have ordered the blocks: something else is wrong, and people look at it.
//! - Members that leave like this and those that leave by evidence count against one cap, over all epochs, until the owners act.
//! - Nobody leaves where fewer than [`STAY_MIN`] would stay. Those would tolerate no faulty member, so that a single Byzantine one could vouch for what is false; and
//!   all of them would have to vote, as they have to beside the absent one: nothing would be won.
//! - It is decided at the end of an epoch and in force an epoch later: the others have that long to copy what it kept.

use std::borrow::Cow;

use pleach_types::committee::faults;
use pleach_types::turns::turns;
use pleach_types::{ClusterRecord, Committee, Context, Genesis, Member};

use crate::system::keeps_data;

/// The fewest members of which any may be faulty.
const STAY_MIN: usize = 4;

/// Notes who led a block, and who missed a turn before it. `members` are those of its epoch.
pub(crate) fn note(record: &mut Cow<'_, ClusterRecord>, context: &Context, members: &Committee) {
    if record.absences.is_empty() {
        return;
    }
    for (key, turn) in turns(context, members) {
        let Some(id) = members.member(&key).map(|member| member.id) else { continue };
        let Ok(place) = record.absences.binary_search_by_key(&id, |absence| absence.id) else { continue };
        // The record is written only where it changes: most members lead in each round.
        if turn.led > 0 {
            record.to_mut().absences.remove(place);
        } else if !record.absences[place].missed {
            record.to_mut().absences[place].missed = true;
        }
    }
}

/// Counts the epoch that ends, begins the next one with the members in force, and takes out who was absent for too long: those are
/// returned.
pub(crate) fn end_epoch(record: &mut Cow<'_, ClusterRecord>, genesis: &Genesis) -> Vec<Member> {
    let after = genesis.governance.absent_epochs;
    if after == 0 {
        return Vec::new();
    }
    let record = record.to_mut();
    for absence in record.absences.iter_mut().filter(|absence| absence.missed) {
        (absence.epochs, absence.missed) = (absence.epochs.saturating_add(1), false);
    }
    record.absences = ClusterRecord::absences_of(genesis, &record.members, &record.absences);
    let mut absent: Vec<_> = record.absences.iter().filter(|absence| absence.epochs > 0).copied().collect();
    if absent.len() > faults(record.members.len()) {
        return Vec::new();
    }
    absent.retain(|absence| absence.epochs >= after);
    // The longest absent first; those equal in that are in the order of their ids already.
    absent.sort_by_key(|absence| std::cmp::Reverse(absence.epochs));
    let mut departed = Vec::new();
    for absence in absent {
        let mut without = record.clone();
        let leaves: Vec<_> = without.next.extract_if(.., |member| member.id == absence.id).collect();
        // If the owners have it back before it is out, it begins anew.
        let own = without.absences.iter_mut().filter(|own| own.id == absence.id);
        own.for_each(|own| own.epochs = 0);
        without.unasked = record.unasked.saturating_add(1);
        let may_leave = record.unasked < record.cap && without.next.len() >= STAY_MIN;
        if !leaves.is_empty() && may_leave && keeps_data(&without, genesis) {
            *record = without;
            departed.extend(leaves);
        }
    }
    departed
}

//! Who keeps what.

use pleach_types::{ClusterRecord, Key, Member, PartitionMap, Partitioning};
use serde_json::{Value, json};

use super::support::{member_keys, secret};
use super::{encoded, hex};

pub fn all() -> Value {
    let members = |capacities: &[u32]| {
        let keys = member_keys(capacities.len() as u8);
        let member = |(at, (key, capacity)): (usize, (&pleach_types::SecretKey, &u32))| Member {
            capacity: *capacity,
            ..Member::new(format!("m{at}"), key.public())
        };
        keys.iter().zip(capacities).enumerate().map(member).collect::<Vec<_>>()
    };
    let mut rotated = members(&[1, 1, 1, 1, 1]);
    rotated[2].previous = Some(rotated[2].public_key);
    rotated[2].public_key = secret(99).public();
    rotated.sort_by_key(|member| member.public_key);
    let maps = [
        ("equal capacities", members(&[1, 1, 1, 1]), 4, 2),
        ("different capacities", members(&[1, 2, 7, 50, 3]), 5, 3),
        ("a member of capacity 0", members(&[1, 0, 1, 1]), 3, 2),
        ("more replicas than members", members(&[4, 1]), 2, 9),
        ("one prefix", members(&[1, 1, 1]), 0, 1),
        ("a member with its second key", rotated, 4, 2),
    ];
    let maps = maps.map(|(name, members, bits, replicas)| {
        let map = PartitionMap::new(Partitioning { bits, replicas }, &members);
        json!({
            "name": name, "members": members.iter().map(encoded).collect::<Vec<_>>(), "bits": bits, "replicas": replicas,
            "keepers": (0..map.prefixes()).map(|prefix| map.keepers(prefix)).collect::<Vec<_>>(),
        })
    });
    let map = PartitionMap::new(Partitioning { bits: 12, replicas: 1 }, &members(&[1; 4]));
    let paths = ["bank/alice", "bank/bob", "x", ".cluster"].map(|text| {
        let path = Key::new(text).expect("a key").path();
        json!({ "key": text, "path": hex(path.as_bytes()), "prefix_of_12_bits": map.prefix_of(&path) })
    });
    let cluster = map.keepers_of(&ClusterRecord::key().path());
    json!({ "maps": maps, "prefixes": paths, "keepers_of_cluster_record_of_4_members": cluster })
}

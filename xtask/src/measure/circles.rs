//! Which files of a crate import each other in a circle.
//!
//! A file depends on another one if it imports or names something that the other one *defines*: a path through `lib.rs`, or through any
//! other module that passes a name on, is followed to where it ends. Declaring a module is no dependency. What only a method call reaches is
//! not seen, and neither is what stands inside of a macro's arguments.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Crate, Module};

/// The longest chain of names passed on that is followed; a longer one would be a circle of imports.
const HOPS: usize = 32;

/// One circle.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// Its files, in order of their paths.
    pub files: Vec<String>,
    /// What ties them: a file, the file that it depends on, and the first path that does so.
    pub ties: Vec<(String, String, String)>,
}

/// Which file depends on which others directly, and by which path first.
type Edges = BTreeMap<usize, BTreeMap<usize, String>>;

/// The circles of a crate, the largest first.
#[must_use]
pub fn circles(read: &Crate) -> Vec<Circle> {
    let edges = edges(read);
    let reached: BTreeMap<usize, BTreeSet<usize>> =
        (0..read.files.len()).map(|file| (file, from(&edges, file))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (file, others) in &reached {
        if seen.contains(file) || !others.contains(file) {
            continue;
        }
        let circle: Vec<usize> = others.iter().copied().filter(|other| reached[other].contains(file)).collect();
        seen.extend(circle.iter().copied());
        found.push(Circle { files: paths(read, &circle), ties: ties(read, &edges, &circle) });
    }
    found.sort_by_key(|circle| (std::cmp::Reverse(circle.files.len()), circle.files.clone()));
    found
}

fn paths(read: &Crate, files: &[usize]) -> Vec<String> {
    let mut paths: Vec<String> = files.iter().map(|file| read.files[*file].path.clone()).collect();
    paths.sort();
    paths
}

fn ties(read: &Crate, edges: &Edges, circle: &[usize]) -> Vec<(String, String, String)> {
    let name = |file: &usize| read.files[*file].path.clone();
    let inside = circle.iter().flat_map(|file| edges.get(file).into_iter().flatten().map(move |edge| (file, edge)));
    let inside = inside.filter(|(_, (target, _))| circle.contains(target));
    let mut ties: Vec<_> = inside.map(|(file, (target, path))| (name(file), name(target), path.clone())).collect();
    ties.sort();
    ties
}

/// The files that one file depends on, whatever the number of steps.
fn from(edges: &Edges, file: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![file];
    while let Some(file) = waiting.pop() {
        waiting
            .extend(edges.get(&file).into_iter().flatten().map(|(next, _)| *next).filter(|next| reached.insert(*next)));
    }
    reached
}

fn edges(read: &Crate) -> Edges {
    let mut edges = Edges::new();
    for (index, module) in read.modules.iter().enumerate() {
        for path in &module.paths {
            if let Some(target) = owner(&read.modules, index, path, HOPS).filter(|target| *target != module.file) {
                edges.entry(module.file).or_default().entry(target).or_insert_with(|| path.join("::"));
            }
        }
    }
    edges
}

/// The file of this crate that defines what `path` names in a module; `None` if it is from outside.
fn owner(modules: &[Module], module: usize, path: &[String], hops: usize) -> Option<usize> {
    let hops = hops.checked_sub(1)?;
    let mut at = module;
    let mut inside = false;
    for (index, name) in path.iter().enumerate() {
        let here = &modules[at];
        match name.as_str() {
            "crate" => at = root(modules, at),
            "super" => at = here.parent?,
            "self" => {}
            name => {
                if let Some(child) = here.children.get(name) {
                    at = *child;
                } else if here.items.contains(name) {
                    return Some(here.file);
                } else if let Some(import) = here.imports.get(name) {
                    let whole: Vec<String> = import.iter().chain(&path[index + 1..]).cloned().collect();
                    return owner(modules, at, &whole, hops);
                } else {
                    let passed = here.globs.iter().find_map(|glob| through(modules, at, glob, &path[index..], hops));
                    // What a macro defines is not seen as an item: it is the module's as long as the path was ours so far.
                    return passed.or_else(|| inside.then_some(here.file));
                }
            }
        }
        inside = true;
    }
    inside.then(|| modules[at].file)
}

/// The file that defines `rest`, if the import of everything from `glob` brings it.
fn through(modules: &[Module], at: usize, glob: &[String], rest: &[String], hops: usize) -> Option<usize> {
    let target = module_at(modules, at, glob)?;
    let name = rest.first()?;
    let module = &modules[target];
    let has = module.children.contains_key(name) || module.items.contains(name) || module.imports.contains_key(name);
    if has { owner(modules, target, rest, hops) } else { None }
}

fn module_at(modules: &[Module], from: usize, path: &[String]) -> Option<usize> {
    path.iter().try_fold(from, |at, name| match name.as_str() {
        "crate" => Some(root(modules, at)),
        "super" => modules[at].parent,
        "self" => Some(at),
        name => modules[at].children.get(name).copied(),
    })
}

fn root(modules: &[Module], mut at: usize) -> usize {
    while let Some(parent) = modules[at].parent {
        at = parent;
    }
    at
}

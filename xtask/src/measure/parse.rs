//! The modules of a crate: what each defines, imports and names, tests left out.
//!
//! A crate is read from its root along its `mod` declarations, as the compiler does, so that a file that only tests declare is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Item, ItemMod, ItemUse, Signature, UseTree};

use super::lines::{Line, classify};

/// One crate, or the part of it that one root (`lib.rs`, `main.rs`) declares.
#[derive(Debug, Default)]
pub struct Crate {
    /// The folder under `crates/`.
    pub name: String,
    /// Its files, in the order in which they are declared.
    pub files: Vec<File>,
    /// Its modules, those within a file included; a module is declared after the one that holds it.
    pub modules: Vec<Module>,
}

/// One file of product code.
#[derive(Debug, Default)]
pub struct File {
    /// The path from the root of the repository.
    pub path: String,
    /// What its lines hold, items of tests included.
    pub lines: Vec<Line>,
    /// The lines (from 0) that items of tests take, first and last.
    pub tests: Vec<(usize, usize)>,
    /// Its functions.
    pub functions: Vec<Function>,
    /// The types that it defines outside of functions: name and line (from 1).
    pub types: Vec<(String, usize)>,
}

/// One function that has a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line (from 1) of its `fn`.
    pub line: usize,
    /// Lines of code from `fn` to the closing brace, without blank lines and comments.
    pub length: usize,
    /// Whether a comment stands between its braces.
    pub commented: bool,
}

/// One module.
#[derive(Debug, Default)]
pub struct Module {
    /// The index of the file that holds it.
    pub file: usize,
    /// The module around it; `None` for a root.
    pub parent: Option<usize>,
    /// The modules directly in it, by name.
    pub children: BTreeMap<String, usize>,
    /// The names of its own items.
    pub items: BTreeSet<String>,
    /// What it imports by name: the name here, and the path.
    pub imports: BTreeMap<String, Vec<String>>,
    /// The paths of its imports of everything (`use a::b::*`).
    pub globs: Vec<Vec<String>>,
    /// All paths of two or more parts that it imports or names.
    pub paths: BTreeSet<Vec<String>>,
}

/// Reads the crate in `folder` (which holds `src`), named by paths from `root`.
///
/// # Errors
/// A file that cannot be read or parsed, with its path and the reason.
pub fn read_crate(root: &Path, folder: &Path) -> Result<Crate, String> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut read = Crate { name, ..Crate::default() };
    for start in ["lib.rs", "main.rs"] {
        let path = folder.join("src").join(start);
        if path.exists() {
            read_module(&mut read, root, path, None)?;
        }
    }
    Ok(read)
}

/// Reads one file and those that it declares.
fn read_module(read: &mut Crate, root: &Path, path: PathBuf, within: Option<(usize, &str)>) -> Result<(), String> {
    // A stack, though files declare each other at most a few deep: what comes first is read first.
    let mut waiting = vec![(path, within.map(|(parent, name)| (parent, name.to_owned())))];
    while let Some((path, within)) = waiting.pop() {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{shown}: {e}"))?;
        let declared = add_file(read, shown, &text, within)?;
        for (module, names, file) in declared.into_iter().rev() {
            let found = find_file(&path, &names, file.as_deref())
                .ok_or_else(|| format!("{}: no file for its module {}", path.display(), names.join("::")))?;
            waiting.push((found, names.last().map(|name| (module, name.clone()))));
        }
    }
    Ok(())
}

/// A module that a file declares elsewhere: the module that declares it, the names from the file's own module down to it, and its `#[path]`.
type Declared = (usize, Vec<String>, Option<String>);

fn find_file(declaring: &Path, names: &[String], file: Option<&str>) -> Option<PathBuf> {
    let folder = declaring.parent()?;
    if let Some(file) = file {
        return Some(folder.join(file));
    }
    let stem = declaring.file_stem()?.to_string_lossy();
    let base = if matches!(&*stem, "lib" | "main" | "mod") { folder.to_path_buf() } else { folder.join(&*stem) };
    let base = names.iter().fold(base, |base, name| base.join(name));
    [base.with_extension("rs"), base.join("mod.rs")].into_iter().find(|path| path.exists())
}

/// Adds one file to a crate, and says which modules it declares.
///
/// # Errors
/// If `text` is not Rust.
pub fn add_file(
    read: &mut Crate,
    path: String,
    text: &str,
    within: Option<(usize, String)>,
) -> Result<Vec<Declared>, String> {
    let tokens: TokenStream = text.parse().map_err(|e| format!("{path}: {e}"))?;
    let syntax: syn::File =
        syn::parse2(tokens.clone()).map_err(|e| format!("{path}:{}: {e}", e.span().start().line))?;
    let file = read.files.len();
    let module = read.modules.len();
    read.modules.push(Module { file, parent: within.as_ref().map(|(parent, _)| *parent), ..Module::default() });
    if let Some((parent, name)) = within {
        read.modules[parent].children.insert(name, module);
    }
    let kept = File { path, lines: classify(text, tokens), ..File::default() };
    let mut reader =
        Reader { file: kept, modules: &mut read.modules, module, depth: 0, names: Vec::new(), declared: Vec::new() };
    reader.visit_file(&syntax);
    let Reader { file, declared, .. } = reader;
    read.files.push(file);
    Ok(declared)
}

struct Reader<'a> {
    file: File,
    modules: &'a mut Vec<Module>,
    module: usize,
    /// How many functions are around this place: what they define is nobody else's.
    depth: usize,
    names: Vec<String>,
    declared: Vec<Declared>,
}

impl Reader<'_> {
    fn here(&mut self) -> &mut Module {
        &mut self.modules[self.module]
    }

    fn leave_out(&mut self, item: &impl Spanned) {
        let span = item.span();
        self.file.tests.push((span.start().line.saturating_sub(1), span.end().line.saturating_sub(1)));
    }

    fn function(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span().start().line;
        let (open, close) = (body.brace_token.span.open().start().line, body.brace_token.span.close().end().line);
        let lines = |from: usize| self.file.lines.get(from.saturating_sub(1)..close).unwrap_or_default().iter();
        let length = lines(first).filter(|line| line.code).count();
        let commented = lines(open).any(|line| line.comment);
        self.file.functions.push(Function { name: signature.ident.to_string(), line: first, length, commented });
    }

    fn module(&mut self, item: &ItemMod) {
        let name = item.ident.to_string();
        self.names.push(name.clone());
        match &item.content {
            None => self.declared.push((self.module, self.names.clone(), path_attribute(&item.attrs))),
            Some((_, items)) => {
                let around = self.module;
                let file = self.here().file;
                self.module = self.modules.len();
                self.modules.push(Module { file, parent: Some(around), ..Module::default() });
                self.modules[around].children.insert(name, self.module);
                items.iter().for_each(|item| self.visit_item(item));
                self.module = around;
            }
        }
        self.names.pop();
    }

    fn import(&mut self, item: &ItemUse) {
        let mut trees = vec![(Vec::new(), &item.tree)];
        while let Some((mut path, tree)) = trees.pop() {
            match tree {
                UseTree::Path(step) => {
                    path.push(step.ident.to_string());
                    trees.push((path, &step.tree));
                }
                UseTree::Group(group) => trees.extend(group.items.iter().map(|tree| (path.clone(), tree))),
                UseTree::Name(name) => self.imported(path, &name.ident.to_string(), &name.ident.to_string()),
                UseTree::Rename(renamed) => {
                    self.imported(path, &renamed.ident.to_string(), &renamed.rename.to_string())
                }
                UseTree::Glob(_) => {
                    self.here().paths.insert(path.clone());
                    self.here().globs.push(path);
                }
            }
        }
    }

    fn imported(&mut self, mut path: Vec<String>, last: &str, name: &str) {
        let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name.to_owned() };
        if last != "self" {
            path.push(last.to_owned());
        }
        self.here().paths.insert(path.clone());
        // `use Trait as _` brings no name.
        if name != "_" && path.as_slice() != [name.as_str()] {
            self.here().imports.insert(name, path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return self.leave_out(item);
        }
        if let Some((name, is_type)) = defined(item) {
            if is_type && self.depth == 0 {
                self.file.types.push((name.clone(), item.span().start().line));
            }
            if self.depth == 0 {
                self.here().items.insert(name);
            }
        }
        match item {
            Item::Mod(module) => self.module(module),
            Item::Use(import) => self.import(import),
            Item::Fn(function) => {
                self.function(&function.sig, &function.block);
                self.depth += 1;
                visit::visit_item(self, item);
                self.depth -= 1;
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if is_test(&function.attrs) {
            return self.leave_out(function);
        }
        self.function(&function.sig, &function.block);
        self.depth += 1;
        visit::visit_impl_item_fn(self, function);
        self.depth -= 1;
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.function(&function.sig, body);
        }
        self.depth += 1;
        visit::visit_trait_item_fn(self, function);
        self.depth -= 1;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let path = path.segments.iter().map(|part| part.ident.to_string()).collect();
            self.here().paths.insert(path);
        }
        visit::visit_path(self, path);
    }
}

/// The name that an item defines, and whether it is that of a type.
fn defined(item: &Item) -> Option<(String, bool)> {
    let (name, is_type) = match item {
        Item::Struct(item) => (&item.ident, true),
        Item::Enum(item) => (&item.ident, true),
        Item::Union(item) => (&item.ident, true),
        Item::Trait(item) => (&item.ident, true),
        Item::Type(item) => (&item.ident, true),
        Item::Fn(item) => (&item.sig.ident, false),
        Item::Const(item) => (&item.ident, false),
        Item::Static(item) => (&item.ident, false),
        Item::Macro(item) => (item.ident.as_ref()?, false),
        _ => return None,
    };
    Some((name.to_string(), is_type))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item is compiled for tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        words == ["test"] || (words.contains(&"cfg") && words.contains(&"test") && !words.contains(&"not"))
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

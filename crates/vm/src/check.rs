//! Our own validation of modules, before any engine sees them: a closed list of features, structural limits
//! strictly inside those of every engine, and the shape of the ABI.
//!
//! What passes here must run, and run alike, on every engine; what does not pass is refused by every node with
//! the same words. The limits bound what translating costs (threat W1): no module may be small and slow.

use std::fmt;

use pleach_types::Limits;
use thiserror::Error;
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ElementItems, Encoding, ExternalKind, FuncToValidate, FuncType,
    FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, TypeRef, ValType, ValidPayload, Validator,
    ValidatorResources, WasmFeatures,
};

use crate::abi;
use crate::schema::Schema;

/// WebAssembly 1.0 and what all compilers emit today. Everything else is off: SIMD, threads, several memories,
/// several results, references, tail calls, exceptions, garbage collection, 64-bit memories.
const FEATURES: WasmFeatures = WasmFeatures::WASM1
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG);

/// Exports by which compilers offer the code that has to run before all other: nobody calls them here.
const CONSTRUCTORS: [&str; 2] = ["__wasm_call_ctors", "_start"];

/// Structural limits. They belong to the cost table's version: changing one changes receipts.
pub mod limits {
    /// Functions that a module defines.
    pub const FUNCTIONS: u32 = 4_096;
    /// Function types.
    pub const TYPES: u32 = 1_024;
    /// Bytes of one function's body.
    pub const BODY_BYTES: u64 = 64 << 10;
    /// Local variables of a function, without its parameters.
    pub const LOCALS: u32 = 512;
    /// Parameters of a function type.
    pub const PARAMETERS: usize = 32;
    /// Blocks within blocks.
    pub const NESTING: u32 = 512;
    /// Operands on a function's stack at once.
    pub const OPERANDS: u32 = 1_024;
    /// Targets of one `br_table`.
    pub const BR_TABLE_TARGETS: u32 = 4_096;
    /// Imports.
    pub const IMPORTS: u32 = 64;
    /// Exports.
    pub const EXPORTS: u32 = 64;
    /// Global variables.
    pub const GLOBALS: u32 = 256;
    /// Elements of the table.
    pub const TABLE_ELEMENTS: u64 = 8_192;
    /// Element segments.
    pub const ELEMENT_SEGMENTS: u32 = 1_024;
    /// Data segments.
    pub const DATA_SEGMENTS: u32 = 1_024;
    /// Pages of memory at the start.
    pub const INITIAL_PAGES: u64 = 64;
    /// Pages of memory at most: 16 MiB.
    pub const PAGES: u64 = 256;
    /// Bytes of a page: WebAssembly's.
    pub const PAGE_BYTES: u64 = 1 << 16;
    /// Pages of memory at the start beyond which the author is told what they cost: those of a stack of 1 MiB.
    pub const ADVISED_PAGES: u64 = 16;
    /// Bytes of custom sections, the description of the arguments apart, beyond which the author is told to strip the module.
    pub const ADVISED_CUSTOM_BYTES: usize = 1 << 10;
    /// Bytes of all custom sections.
    pub const CUSTOM_BYTES: usize = 64 << 10;
    /// Stack slots of an execution.
    pub const STACK_SLOTS: i32 = 65_536;
}

/// Why bytes are not an operation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidOperation {
    /// The module is larger than the cluster allows.
    #[error(
        "the module has {actual} bytes, the limit is {limit}; build with opt-level \"s\", LTO and stripped symbols"
    )]
    TooLarge {
        /// Its bytes.
        actual: usize,
        /// The cluster's limit.
        limit: usize,
    },
    /// The bytes are not a valid module with the features that are allowed.
    #[error("not a valid module: {why}{} (at byte {offset:#x}){}", At(.function), Hint(.hint))]
    Invalid {
        /// What is wrong, in the validator's words.
        why: String,
        /// Index of the function, if it is inside one.
        function: Option<u32>,
        /// Where in the module.
        offset: u64,
        /// What may help.
        hint: Option<&'static str>,
    },
    /// Something is larger than any operation needs.
    #[error("{what}: {actual}, the limit is {limit}{}", At(.function))]
    Limit {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        actual: u64,
        /// The limit.
        limit: u64,
        /// Index of the function, if it is inside one.
        function: Option<u32>,
    },
    /// An import that the host does not have.
    #[error("import {module}.{name} is not part of {}{}", abi::NAMESPACE, Hint(.hint))]
    UnknownImport {
        /// The namespace.
        module: String,
        /// The name.
        name: String,
        /// What may help.
        hint: Option<&'static str>,
    },
    /// An import of another type than the host's.
    #[error("import {}.{name} has type {found}, it must have type {expected}", abi::NAMESPACE)]
    ImportType {
        /// The name.
        name: &'static str,
        /// The host's type.
        expected: String,
        /// The module's.
        found: String,
    },
    /// An export that every operation needs.
    #[error("there is no export {name:?} ({shape}){}", Hint(.hint))]
    MissingExport {
        /// The name.
        name: &'static str,
        /// What it must be.
        shape: &'static str,
        /// What may help.
        hint: Option<&'static str>,
    },
    /// An export is of another kind or type than it must be.
    #[error("export {name:?} must be {shape}")]
    ExportType {
        /// The name.
        name: &'static str,
        /// What it must be.
        shape: &'static str,
    },
    /// An export by a name that is reserved for the host.
    #[error("export {0:?}: names that start with \"pleach_\" are reserved")]
    ReservedExport(String),
    /// There is a start section, whose work nobody could charge for.
    #[error("the module has a start function; export it as \"_initialize\" instead (reactor, not command)")]
    StartSection,
}

/// " in function 3", or nothing.
struct At<'a>(&'a Option<u32>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |function| write!(f, " in function {function}"))
    }
}

/// "; do this", or nothing.
struct Hint<'a>(&'a Option<&'static str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// What a module that passed looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Bytes of the module.
    pub bytes: usize,
    /// Functions that it defines.
    pub functions: u32,
    /// Host functions that it imports, in its order.
    pub imports: Vec<&'static str>,
    /// Pages of 64 KiB that its memory has at the start.
    pub initial_pages: u64,
    /// Elements of its table.
    pub table_elements: u64,
    /// Items of its element segments.
    pub element_items: u64,
    /// Bytes of the sections that an instance is made of: all but the bodies of functions and custom sections.
    pub instance_bytes: u64,
    /// Whether it has an `_initialize` function to call first.
    pub initialize: bool,
    /// What it exports, in its order.
    pub exports: Vec<String>,
    /// Bytes of custom sections other than the description of the arguments.
    pub other_custom_bytes: usize,
    /// Whether there is a section that describes the arguments.
    pub described: bool,
    /// Text of that section, if it is text.
    pub arguments: Option<String>,
}

impl ModuleInfo {
    /// What is allowed and hardly meant so, with the hint; empty for a module that is well built.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        if let Some(export) = self.exports.iter().find(|export| CONSTRUCTORS.contains(&export.as_str()))
            && !self.initialize
        {
            hints.push(format!(
                "nobody calls the export {export:?}, so constructors and top-level code do not run: export that function as {:?}",
                abi::INITIALIZE
            ));
        }
        if self.initial_pages > limits::ADVISED_PAGES {
            hints.push(format!(
                "the memory starts with {} pages ({} gas each time it runs); most compilers reserve 1 MiB of stack: link with -zstack-size=16384",
                self.initial_pages,
                self.initial_pages * crate::cost::V1.page
            ));
        }
        if self.other_custom_bytes > limits::ADVISED_CUSTOM_BYTES {
            hints.push(format!(
                "{} bytes are names and debugging information, stored and paid for as code: strip them (Rust: strip = \"symbols\"; clang: -Wl,--strip-all)",
                self.other_custom_bytes
            ));
        }
        // An operation without a description runs as any other: only people and tools miss it.
        let hint = "callers must pass argument bytes; describe them: pleach op describe FILE 'name: str, amount: u64'";
        match self.arguments.as_deref().map(str::parse::<Schema>) {
            Some(Ok(_)) => {}
            Some(Err(why)) => hints.push(format!("the description of the arguments cannot be read ({why}): {hint}")),
            None if self.described => hints.push(format!("the description of the arguments is not text: {hint}")),
            None => hints.push(format!("there is no section {}: {hint}", abi::ARGUMENTS_SECTION)),
        }
        hints
    }
}

/// A module that passed, with what the rewriting needs to know.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) info: ModuleInfo,
    /// Of each defined function: stack slots that one activation may take, wrapped in its result type.
    pub(crate) activations: Vec<Activation>,
}

/// The size of one activation of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    /// Parameters.
    pub(crate) parameters: u32,
    /// Local variables beyond the parameters.
    pub(crate) locals: u32,
    /// Operands at most.
    pub(crate) operands: u32,
    /// Type of the result.
    pub(crate) result: Option<ValType>,
    /// Instructions that push a value which is known before it runs: an interpreter may lay such values out in each activation.
    pub(crate) constants: u32,
    /// Whether it calls none of the operation's own functions. The host's do not call back.
    pub(crate) leaf: bool,
}

/// Checks a module against the default limits of a cluster: what `pleach op check` prints.
///
/// # Errors
/// The first thing that is wrong, where, and what may help.
pub fn check(code: &[u8]) -> Result<ModuleInfo, InvalidOperation> {
    check_within(code, &Limits::default())
}

/// Checks a module against the limits of a given cluster.
///
/// # Errors
/// As [`check`].
pub fn check_within(code: &[u8], limits: &Limits) -> Result<ModuleInfo, InvalidOperation> {
    validate(code, limits.module_bytes as usize).map(|checked| checked.info)
}

pub(crate) fn validate(code: &[u8], module_bytes: usize) -> Result<Checked, InvalidOperation> {
    if code.len() > module_bytes {
        return Err(InvalidOperation::TooLarge { actual: code.len(), limit: module_bytes });
    }
    let mut checker = Checker::new(code.len());
    for payload in Parser::new(0).parse_all(code) {
        checker.payload(&payload.map_err(|e| invalid(&e, None))?)?;
    }
    checker.finish()
}

/// Bytes of a section that every instance is made of.
fn instance_bytes(payload: &Payload<'_>) -> u64 {
    let range = match payload {
        Payload::TypeSection(section) => section.range(),
        Payload::ImportSection(section) => section.range(),
        Payload::FunctionSection(section) => section.range(),
        Payload::TableSection(section) => section.range(),
        Payload::GlobalSection(section) => section.range(),
        Payload::ExportSection(section) => section.range(),
        Payload::ElementSection(section) => section.range(),
        Payload::DataSection(section) => section.range(),
        _ => return 0,
    };
    range.end - range.start
}

/// Walks over a module's sections.
struct Checker {
    validator: Validator,
    allocations: FuncValidatorAllocations,
    info: ModuleInfo,
    activations: Vec<Activation>,
    types: Vec<FuncType>,
    /// Type index of every function, imported ones first.
    functions: Vec<u32>,
    exports: Exports,
    custom_bytes: usize,
}

/// The exports that mean something.
#[derive(Default)]
struct Exports {
    run: bool,
    memory: bool,
}

impl Checker {
    fn new(bytes: usize) -> Self {
        Self {
            validator: Validator::new_with_features(FEATURES),
            allocations: FuncValidatorAllocations::default(),
            info: ModuleInfo { bytes, ..ModuleInfo::default() },
            activations: Vec::new(),
            types: Vec::new(),
            functions: Vec::new(),
            exports: Exports::default(),
            custom_bytes: 0,
        }
    }

    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), InvalidOperation> {
        // Counts first: the validator must not be made to work on what is refused anyway.
        self.limit(payload)?;
        let valid = self.validator.payload(payload).map_err(|e| invalid(&e, None))?;
        if let ValidPayload::Func(to_validate, body) = valid {
            return self.function(to_validate, &body);
        }
        self.shape(payload).map_err(|e| match e {
            CheckProblem::Operation(problem) => problem,
            CheckProblem::Reader(e) => invalid(&e, None),
        })
    }

    fn limit(&mut self, payload: &Payload<'_>) -> Result<(), InvalidOperation> {
        // Counts come before contents: a section is refused by its number of entries, before any of them is read.
        match payload {
            Payload::Version { encoding: Encoding::Component, range, .. } => Err(InvalidOperation::Invalid {
                why: "this is a component".into(),
                function: None,
                offset: range.start,
                hint: Some("build a core module (target wasm32v1-none)"),
            }),
            Payload::TypeSection(s) => at_most("function types", s.count(), limits::TYPES),
            Payload::ImportSection(s) => at_most("imports", s.count(), limits::IMPORTS),
            Payload::FunctionSection(s) => at_most("functions", s.count(), limits::FUNCTIONS),
            Payload::TableSection(s) => at_most("tables", s.count(), 1u32),
            Payload::MemorySection(s) => at_most("memories", s.count(), 1u32),
            Payload::GlobalSection(s) => at_most("global variables", s.count(), limits::GLOBALS),
            Payload::ExportSection(s) => at_most("exports", s.count(), limits::EXPORTS),
            Payload::ElementSection(s) => at_most("element segments", s.count(), limits::ELEMENT_SEGMENTS),
            Payload::DataSection(s) => at_most("data segments", s.count(), limits::DATA_SEGMENTS),
            Payload::StartSection { .. } => Err(InvalidOperation::StartSection),
            Payload::CustomSection(s) => {
                self.custom_bytes += s.data().len();
                at_most("bytes of custom sections", self.custom_bytes as u64, limits::CUSTOM_BYTES as u64)
            }
            _ => Ok(()),
        }
    }

    /// What a section must look like beyond being valid.
    fn shape(&mut self, payload: &Payload<'_>) -> Result<(), CheckProblem> {
        self.info.instance_bytes += instance_bytes(payload);
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    for ty in group?.into_types() {
                        // Other kinds of types belong to proposals that are off.
                        if let CompositeInnerType::Func(function) = ty.composite_type.inner {
                            at_most(
                                "parameters of a function type",
                                function.params().len() as u64,
                                limits::PARAMETERS as u64,
                            )?;
                            self.types.push(function);
                        }
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import?;
                    self.import(import.module, import.name, import.ty)?;
                }
            }
            Payload::FunctionSection(section) => {
                self.info.functions = section.count();
                for index in section.clone() {
                    self.functions.push(index?);
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.info.table_elements = table?.ty.initial;
                    at_most("table elements", self.info.table_elements, limits::TABLE_ELEMENTS)?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.info.initial_pages = memory?.initial;
                    at_most("pages of memory at the start", self.info.initial_pages, limits::INITIAL_PAGES)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    self.info.exports.push(export.name.to_owned());
                    self.export(export.name, export.kind, export.index)?;
                }
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    self.info.element_items += match element?.items {
                        ElementItems::Functions(items) => u64::from(items.count()),
                        ElementItems::Expressions(_, items) => u64::from(items.count()),
                    };
                }
            }
            Payload::CustomSection(section) if section.name() != abi::ARGUMENTS_SECTION => {
                self.info.other_custom_bytes += section.data().len();
            }
            // The first one counts, here and for callers.
            Payload::CustomSection(section) if !self.info.described => {
                self.info.described = true;
                self.info.arguments = std::str::from_utf8(section.data()).ok().map(str::to_owned);
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str, ty: TypeRef) -> Result<(), InvalidOperation> {
        let known = if module == abi::NAMESPACE { abi::import(name) } else { None };
        let (Some(known), TypeRef::Func(index)) = (known, ty) else {
            return Err(InvalidOperation::UnknownImport {
                module: module.into(),
                name: name.into(),
                hint: import_hint(module),
            });
        };
        // Valid modules have no type index out of range; the empty type then fails the comparison.
        let found = self.types.get(index as usize);
        if !found.is_some_and(|found| has_shape(found, known)) {
            return Err(InvalidOperation::ImportType {
                name: known.name,
                expected: shape_text(
                    &vec![ValType::I32; known.parameters],
                    if known.returns { &[ValType::I32] } else { &[] },
                ),
                found: found.map_or_else(String::new, |f| shape_text(f.params(), f.results())),
            });
        }
        self.functions.push(index);
        self.info.imports.push(known.name);
        Ok(())
    }

    fn export(&mut self, name: &str, kind: ExternalKind, index: u32) -> Result<(), InvalidOperation> {
        match name {
            abi::RUN => self.exports.run = self.entry(abi::RUN, kind, index)?,
            abi::INITIALIZE => self.info.initialize = self.entry(abi::INITIALIZE, kind, index)?,
            abi::MEMORY if kind == ExternalKind::Memory => self.exports.memory = true,
            abi::MEMORY => return Err(InvalidOperation::ExportType { name: abi::MEMORY, shape: "the memory" }),
            name if name.starts_with(abi::RESERVED_PREFIX) => {
                return Err(InvalidOperation::ReservedExport(name.into()));
            }
            _ => {}
        }
        Ok(())
    }

    fn entry(&self, name: &'static str, kind: ExternalKind, index: u32) -> Result<bool, InvalidOperation> {
        let ty = self.functions.get(index as usize).and_then(|ty| self.types.get(*ty as usize));
        let fits = kind == ExternalKind::Func && ty.is_some_and(|ty| ty.params().is_empty() && ty.results().is_empty());
        if fits { Ok(true) } else { Err(InvalidOperation::ExportType { name, shape: "a function of type () -> ()" }) }
    }

    fn function(
        &mut self,
        to_validate: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), InvalidOperation> {
        let index = to_validate.index;
        let range = body.range();
        at_most_in("bytes of a function's body", range.end - range.start, limits::BODY_BYTES, index)?;
        let mut validator = to_validate.into_validator(std::mem::take(&mut self.allocations));
        let activation = self.body(&mut validator, body, index).map_err(|e| match e {
            CheckProblem::Operation(problem) => problem,
            CheckProblem::Reader(e) => invalid(&e, Some(index)),
        })?;
        self.activations.push(activation);
        self.allocations = validator.into_allocations();
        Ok(())
    }

    fn body(
        &self,
        validator: &mut wasmparser::FuncValidator<ValidatorResources>,
        body: &FunctionBody<'_>,
        index: u32,
    ) -> Result<Activation, CheckProblem> {
        let mut locals = 0u64;
        let mut reader = body.get_locals_reader()?;
        for _ in 0..reader.get_count() {
            let offset = reader.original_position();
            let (count, ty) = reader.read()?;
            locals += u64::from(count);
            at_most_in("local variables", locals, limits::LOCALS.into(), index)?;
            validator.define_locals(offset, count, ty)?;
        }
        let (mut operands, mut constants, mut leaf) = (0, 0, true);
        for operator in body.get_operators_reader()?.into_iter_with_offsets() {
            let (operator, offset) = operator?;
            if let Operator::BrTable { targets } = &operator {
                at_most_in("targets of a br_table", targets.len().into(), limits::BR_TABLE_TARGETS.into(), index)?;
            }
            constants += u32::from(is_constant(&operator));
            leaf &= match &operator {
                Operator::Call { function_index } => (*function_index as usize) < self.info.imports.len(),
                Operator::CallIndirect { .. } => false,
                _ => true,
            };
            validator.op(offset, &operator)?;
            operands = operands.max(validator.operand_stack_height());
            at_most_in("operands on the stack", operands.into(), limits::OPERANDS.into(), index)?;
            at_most_in("blocks within blocks", validator.control_stack_height().into(), limits::NESTING.into(), index)?;
        }
        let ty = self.functions.get(index as usize).and_then(|ty| self.types.get(*ty as usize));
        Ok(Activation {
            parameters: ty.map_or(0, |ty| ty.params().len() as u32),
            // At most `limits::LOCALS`.
            locals: locals as u32,
            operands,
            result: ty.and_then(|ty| ty.results().first().copied()),
            constants,
            leaf,
        })
    }

    fn finish(self) -> Result<Checked, InvalidOperation> {
        if !self.exports.run {
            return Err(InvalidOperation::MissingExport {
                name: abi::RUN,
                shape: "a function of type () -> ()",
                hint: Some("in Rust operation!, in C PLEACH_RUN, in AssemblyScript export function pleach_run"),
            });
        }
        if !self.exports.memory {
            return Err(InvalidOperation::MissingExport { name: abi::MEMORY, shape: "the memory", hint: None });
        }
        Ok(Checked { info: self.info, activations: self.activations })
    }
}

/// Whether an instruction pushes what is known beforehand. A global may be constant, and what an engine computes from
/// constants takes at least one of them.
const fn is_constant(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. }
            | Operator::GlobalGet { .. }
    )
}

/// Ours, or the parser's.
enum CheckProblem {
    Operation(InvalidOperation),
    Reader(BinaryReaderError),
}

impl From<InvalidOperation> for CheckProblem {
    fn from(problem: InvalidOperation) -> Self {
        Self::Operation(problem)
    }
}

impl From<BinaryReaderError> for CheckProblem {
    fn from(e: BinaryReaderError) -> Self {
        Self::Reader(e)
    }
}

fn at_most(what: &'static str, actual: impl Into<u64>, limit: impl Into<u64>) -> Result<(), InvalidOperation> {
    let (actual, limit) = (actual.into(), limit.into());
    if actual > limit { Err(InvalidOperation::Limit { what, actual, limit, function: None }) } else { Ok(()) }
}

fn at_most_in(what: &'static str, actual: u64, limit: u64, function: u32) -> Result<(), InvalidOperation> {
    if actual > limit { Err(InvalidOperation::Limit { what, actual, limit, function: Some(function) }) } else { Ok(()) }
}

fn has_shape(found: &FuncType, known: &abi::Import) -> bool {
    found.params().len() == known.parameters
        && found.results().len() == usize::from(known.returns)
        && found.params().iter().chain(found.results()).all(|ty| *ty == ValType::I32)
}

fn shape_text(parameters: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(parameters), list(results))
}

pub(crate) fn invalid(error: &BinaryReaderError, function: Option<u32>) -> InvalidOperation {
    let why = error.message().to_owned();
    InvalidOperation::Invalid { hint: feature_hint(&why), why, function, offset: error.offset() }
}

/// What to do about the features that compilers like to use unasked.
fn feature_hint(why: &str) -> Option<&'static str> {
    let hints = [
        ("SIMD", "rebuild with -C target-feature=-simd128 (clang: -mno-simd128)"),
        ("threads", "rebuild without atomics: -C target-feature=-atomics"),
        ("multi-value", "rebuild for wasm32v1-none, or with -C target-feature=-multivalue"),
        ("reference types", "rebuild for wasm32v1-none, or with -C target-feature=-reference-types"),
        ("tail calls", "rebuild with -C target-feature=-tail-call"),
        ("exceptions", "rebuild with panic = \"abort\" (C++: -fno-exceptions)"),
        ("magic", "this is not WebAssembly; build with: operations/build, or cargo build --target wasm32v1-none"),
    ];
    hints.iter().find(|(feature, _)| why.contains(feature)).map(|(_, hint)| *hint)
}

fn import_hint(module: &str) -> Option<&'static str> {
    match module {
        "wasi_snapshot_preview1" | "wasi_unstable" => Some(
            "operations have no files, clock or randomness: build for wasm32v1-none, or without a standard library",
        ),
        "env" => {
            Some("a function was declared and never defined, or the wrong target was used (wasm32v1-none is right)")
        }
        "__wbindgen_placeholder__" => Some("wasm-bindgen is for browsers: remove the crate that depends on it"),
        abi::NAMESPACE => Some("this host is older than the operation's SDK, or the name is misspelt"),
        _ => None,
    }
}

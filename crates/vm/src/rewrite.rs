//! Metering by rewriting: counters for gas and stack become part of the operation itself.
//!
//! Engines disagree on fuel and on how deep one can recurse; the rewritten bytecode does not (threat W5). Two
//! mutable globals count down:
//!
//! - *gas*: at the start of each straight run of instructions its whole price is taken off; if the counter is
//!   then negative, the operation traps. Runs end wherever control can leave or join.
//! - *stack*: each function takes its activation off on entry and gives it back on every way out; if the counter is
//!   negative, the operation traps. A function that calls none of the operation's own is not counted: only one
//!   of them is active at a time, and every engine has room for that beside what the counter allows.
//!
//! Entering a function costs more the more local variables and constants it has, in gas and in slots: engines set up the
//! former, and the interpreter copies the latter into each activation.
//!
//! The gas counter becomes global 0, and the operation's own globals move up by one: it is by far the most used variable,
//! and interpreters keep the first global, which is the stack pointer in what compilers emit, at hand.
//!
//! Floating-point arithmetic has its results passed through a function that replaces every NaN by the canonical
//! one: which NaN comes out is the one thing that WebAssembly leaves to the machine.
//!
//! Instructions whose work depends on an operand (copies, fills, growing) pass that operand through a small
//! function that charges for it and returns it.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Encode, ExportKind, ExportSection, Function, GlobalSection, GlobalType, Ieee32,
    Ieee64, Instruction, MemorySection, MemoryType, Module, RawSection, SectionId, ValType,
};
use wasmparser::{
    BinaryReaderError, Export, ExportSectionReader, ExternalKind, FunctionBody, Operator, OperatorsReader, Parser,
    Payload,
};

use crate::abi;
use crate::check::{Activation, Checked, limits};
use crate::cost::CostTable;

/// The global that counts gas. The operation's own globals follow it.
const GAS: u32 = 0;

/// Slots that any activation takes, beyond its variables and operands: return address and the like.
const ACTIVATION_SLOTS: u32 = 4;

/// Constants of a function that count as one more local variable: copying them takes an interpreter a fraction of what a
/// variable does.
const CONSTANTS_PER_SLOT: u32 = 8;

/// Rewrites a module that passed the check.
///
/// # Errors
/// None for a module that passed: the same parser has read it before.
pub(crate) fn instrument(code: &[u8], checked: &Checked, costs: &CostTable) -> Result<Vec<u8>, BinaryReaderError> {
    let mut rewriter = Rewriter {
        code,
        activations: &checked.activations,
        next: 0,
        meter: Meter::new(checked, costs),
        bodies: CodeSection::new(),
        module: Module::new(),
        globals_seen: false,
    };
    for payload in Parser::new(0).parse_all(code) {
        rewriter.payload(&payload?)?;
    }
    Ok(rewriter.module.finish())
}

/// Where the added things are, and the prices.
struct Meter<'a> {
    costs: &'a CostTable,
    /// The global that counts stack slots: the last one.
    stack: u32,
    /// Index of the first added function; see [`Helper`].
    helpers: u32,
    /// Index of the first added type: `(i32) -> (i32)`, then the same for `f32` and `f64`.
    helper_types: u32,
}

/// The added functions, in order.
#[derive(Clone, Copy)]
enum Helper {
    /// Charges for bytes, eight to a gas.
    Bytes,
    /// Charges for table elements.
    Elements,
    /// Charges for pages of memory.
    Pages,
    /// Makes an `f32` that is not a number the canonical one.
    Canonical32,
    /// The same for `f64`.
    Canonical64,
}

impl Helper {
    const ALL: [Self; 5] = [Self::Bytes, Self::Elements, Self::Pages, Self::Canonical32, Self::Canonical64];

    /// Its type's place among the added types.
    const fn ty(self) -> u32 {
        match self {
            Self::Bytes | Self::Elements | Self::Pages => 0,
            Self::Canonical32 => 1,
            Self::Canonical64 => 2,
        }
    }
}

impl<'a> Meter<'a> {
    fn new(checked: &Checked, costs: &'a CostTable) -> Self {
        let functions = checked.info.imports.len() as u32 + checked.info.functions;
        // The indices of added globals and types are not known before their sections have been seen.
        Self { costs, stack: 1, helpers: functions, helper_types: 0 }
    }

    /// Takes the amount that `amount` leaves on the stack, an `i64`, off the gas.
    fn charge(&self, out: &mut Vec<u8>, amount: &[Instruction]) {
        encode(out, &[Instruction::GlobalGet(GAS)]);
        encode(out, amount);
        encode(
            out,
            &[
                Instruction::I64Sub,
                Instruction::GlobalSet(GAS),
                Instruction::GlobalGet(GAS),
                Instruction::I64Const(0),
                Instruction::I64LtS,
            ],
        );
        encode(out, TRAP_IF);
    }

    fn enter(&self, out: &mut Vec<u8>, slots: i32) {
        encode(
            out,
            &[
                Instruction::GlobalGet(self.stack),
                Instruction::I32Const(slots),
                Instruction::I32Sub,
                Instruction::GlobalSet(self.stack),
                Instruction::GlobalGet(self.stack),
                Instruction::I32Const(0),
                Instruction::I32LtS,
            ],
        );
        encode(out, TRAP_IF);
    }

    fn leave(&self, out: &mut Vec<u8>, slots: i32) {
        encode(
            out,
            &[
                Instruction::GlobalGet(self.stack),
                Instruction::I32Const(slots),
                Instruction::I32Add,
                Instruction::GlobalSet(self.stack),
            ],
        );
    }

    /// A function that charges for its argument, or canonicalizes it, and returns it.
    fn helper(&self, helper: Helper) -> Function {
        let mut out = Vec::new();
        match helper {
            // One for every eight bytes: a copy moves many in the time of one instruction.
            Helper::Bytes => {
                self.charge(
                    &mut out,
                    &[
                        Instruction::LocalGet(0),
                        Instruction::I64ExtendI32U,
                        Instruction::I64Const(3),
                        Instruction::I64ShrU,
                    ],
                );
            }
            Helper::Elements => self.charge(&mut out, &[Instruction::LocalGet(0), Instruction::I64ExtendI32U]),
            Helper::Pages => self.charge(&mut out, &pages_price(self.costs)),
            Helper::Canonical32 => {
                let nan = Instruction::F32Const(Ieee32::new(CANONICAL_NAN_32));
                replace_nan(&mut out, Instruction::F32Ne, nan);
            }
            Helper::Canonical64 => {
                let nan = Instruction::F64Const(Ieee64::new(CANONICAL_NAN_64));
                replace_nan(&mut out, Instruction::F64Ne, nan);
            }
        }
        encode(&mut out, &[Instruction::LocalGet(0), Instruction::End]);
        let mut function = Function::new([]);
        function.raw(out);
        function
    }
}

/// `(i32) -> (i32)`, `(f32) -> (f32)`, `(f64) -> (f64)`.
const HELPER_TYPES: [u8; 15] = [0x60, 1, 0x7f, 1, 0x7f, 0x60, 1, 0x7d, 1, 0x7d, 0x60, 1, 0x7c, 1, 0x7c];
const CANONICAL_NAN_32: u32 = 0x7fc0_0000;
const CANONICAL_NAN_64: u64 = 0x7ff8_0000_0000_0000;

/// Sets the argument to `nan` if it does not equal itself.
fn replace_nan(out: &mut Vec<u8>, differs: Instruction, nan: Instruction) {
    let this = || Instruction::LocalGet(0);
    encode(
        out,
        &[this(), this(), differs, Instruction::If(BlockType::Empty), nan, Instruction::LocalSet(0), Instruction::End],
    );
}

const TRAP_IF: &[Instruction] = &[Instruction::If(BlockType::Empty), Instruction::Unreachable, Instruction::End];

/// A growth beyond the maximum fails without work, so it is charged as if it asked for the maximum.
fn pages_price(costs: &CostTable) -> [Instruction<'static>; 9] {
    let most = limits::PAGES as i32;
    [
        Instruction::LocalGet(0),
        Instruction::I32Const(most),
        Instruction::LocalGet(0),
        Instruction::I32Const(most),
        Instruction::I32LtU,
        Instruction::Select,
        Instruction::I64ExtendI32U,
        Instruction::I64Const(costs.page.cast_signed()),
        Instruction::I64Mul,
    ]
}

struct Rewriter<'a> {
    code: &'a [u8],
    activations: &'a [Activation],
    next: usize,
    meter: Meter<'a>,
    bodies: CodeSection,
    module: Module,
    globals_seen: bool,
}

impl Rewriter<'_> {
    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::TypeSection(section) => {
                self.meter.helper_types = section.count();
                self.append(SectionId::Type, section.count(), &section.range(), 3, &HELPER_TYPES);
            }
            Payload::FunctionSection(section) => {
                let mut added = Vec::new();
                Helper::ALL.iter().for_each(|helper| (self.meter.helper_types + helper.ty()).encode(&mut added));
                self.append(SectionId::Function, section.count(), &section.range(), Helper::ALL.len() as u32, &added);
            }
            Payload::MemorySection(section) => {
                let mut memories = MemorySection::new();
                for memory in section.clone() {
                    memories.memory(bounded(memory?));
                }
                self.module.section(&memories);
            }
            Payload::GlobalSection(section) => {
                self.number_globals(section.count());
                let (gas, stack) = (counter(ValType::I64), counter(ValType::I32));
                self.extend(SectionId::Global, section.count(), &section.range(), (1, &gas), (1, &stack));
            }
            Payload::ExportSection(section) => {
                if !self.globals_seen {
                    self.add_globals();
                }
                self.exports(section)?;
            }
            Payload::CodeSectionEntry(body) => self.function(body)?,
            // Names, schemas and whatever else is there: no engine needs them.
            Payload::CustomSection(_) => {}
            other => {
                if let Some((id, range)) = other.as_section()
                    && id != u8::from(SectionId::Code)
                {
                    self.module.section(&RawSection { id, data: &self.code[span(&range)] });
                }
            }
        }
        Ok(())
    }

    /// Copies a section with items added at its end: no index of the operation's own moves.
    fn append(&mut self, id: SectionId, count: u32, range: &std::ops::Range<u64>, added: u32, items: &[u8]) {
        self.extend(id, count, range, (0, &[]), (added, items));
    }

    /// Copies a section with a number of items added before and after its own.
    fn extend(
        &mut self,
        id: SectionId,
        count: u32,
        range: &std::ops::Range<u64>,
        before: (u32, &[u8]),
        after: (u32, &[u8]),
    ) {
        let old = &self.code[span(range)];
        let mut data = Vec::with_capacity(before.1.len() + old.len() + after.1.len() + 5);
        (before.0 + count + after.0).encode(&mut data);
        data.extend_from_slice(before.1);
        data.extend_from_slice(&old[leb_len(old)..]);
        data.extend_from_slice(after.1);
        self.module.section(&RawSection { id: id.into(), data: &data });
    }

    /// Copies the exports, whose globals have moved, and adds the counters.
    fn exports(&mut self, section: &ExportSectionReader<'_>) -> Result<(), BinaryReaderError> {
        let mut exports = ExportSection::new();
        for export in section.clone() {
            let Export { name, kind, index } = export?;
            match kind {
                ExternalKind::Memory => exports.export(name, ExportKind::Memory, index),
                ExternalKind::Table => exports.export(name, ExportKind::Table, index),
                ExternalKind::Global => exports.export(name, ExportKind::Global, own_global(index)),
                // There is no other kind: the check allows neither tags nor exact functions.
                _ => exports.export(name, ExportKind::Func, index),
            };
        }
        exports.export(abi::GAS, ExportKind::Global, GAS);
        exports.export(abi::STACK, ExportKind::Global, self.meter.stack);
        self.module.section(&exports);
        Ok(())
    }

    fn number_globals(&mut self, own: u32) {
        (self.meter.stack, self.globals_seen) = (own_global(own), true);
    }

    fn add_globals(&mut self) {
        self.number_globals(0);
        let mut globals = GlobalSection::new();
        globals.global(GlobalType { val_type: ValType::I64, mutable: true, shared: false }, &ConstExpr::i64_const(0));
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(0));
        self.module.section(&globals);
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        // The check made one activation for each body.
        let activation = self.activations[self.next];
        self.next += 1;
        let rewritten = rewrite_body(self.code, body, activation, &self.meter)?;
        self.bodies.raw(&rewritten);
        if self.next == self.activations.len() {
            for helper in Helper::ALL {
                self.bodies.function(&self.meter.helper(helper));
            }
            self.module.section(&self.bodies);
        }
        Ok(())
    }
}

/// The body of a function, metered.
fn rewrite_body(
    code: &[u8],
    body: &FunctionBody<'_>,
    activation: Activation,
    meter: &Meter<'_>,
) -> Result<Vec<u8>, BinaryReaderError> {
    let operators = body.get_operators_reader()?;
    let locals = body.range().start as usize..operators.original_position() as usize;
    // At most 4 + 32 + 512 + 1024 + 4096.
    let constants = activation.constants / CONSTANTS_PER_SLOT;
    let slots =
        (ACTIVATION_SLOTS + activation.parameters + activation.locals + activation.operands + constants).cast_signed();

    let mut out = code[locals].to_vec();
    if !activation.leaf {
        meter.enter(&mut out, slots);
    }
    // Inside a block of the function's type, a jump to the function's own label arrives at the block's end,
    // where the activation is given back. Jumps keep their depths.
    let result = activation.result.map_or(BlockType::Empty, |ty| BlockType::Result(value_type(ty)));
    encode(&mut out, &[Instruction::Block(result)]);
    let mut segments = Segments {
        code,
        meter,
        out,
        run: Vec::new(),
        cost: meter.costs.local * u64::from(activation.locals + constants),
        depth: 0,
    };
    segments.walk(operators)?;
    let mut out = segments.out;
    if !activation.leaf {
        meter.leave(&mut out, slots);
    }
    encode(&mut out, &[Instruction::End]);
    Ok(out)
}

/// Cuts a body into straight runs and puts the price in front of each.
struct Segments<'a> {
    code: &'a [u8],
    meter: &'a Meter<'a>,
    out: Vec<u8>,
    run: Vec<u8>,
    cost: u64,
    depth: u32,
}

impl Segments<'_> {
    fn walk(&mut self, mut operators: OperatorsReader<'_>) -> Result<(), BinaryReaderError> {
        while !operators.eof() {
            let start = operators.original_position() as usize;
            let operator = operators.read()?;
            let end = operators.original_position() as usize;
            self.cost += self.meter.costs.instruction(&operator);
            self.write(&operator, start..end);
            if ends_run(&operator) {
                self.flush();
            }
        }
        self.flush();
        Ok(())
    }

    fn write(&mut self, operator: &Operator<'_>, raw: std::ops::Range<usize>) {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => self.depth += 1,
            // The last `end` closes the block that we opened, at depth 0.
            Operator::End => self.depth = self.depth.saturating_sub(1),
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. } => {
                self.call(Helper::Bytes)
            }
            Operator::TableCopy { .. } | Operator::TableInit { .. } => self.call(Helper::Elements),
            Operator::MemoryGrow { .. } => self.call(Helper::Pages),
            _ => {}
        }
        match operator {
            Operator::Return => encode(&mut self.run, &[Instruction::Br(self.depth)]),
            Operator::GlobalGet { global_index } => {
                encode(&mut self.run, &[Instruction::GlobalGet(own_global(*global_index))]);
            }
            Operator::GlobalSet { global_index } => {
                encode(&mut self.run, &[Instruction::GlobalSet(own_global(*global_index))]);
            }
            // Linkers pad the table's index, which only newer engines read.
            Operator::CallIndirect { type_index, table_index } => {
                encode(
                    &mut self.run,
                    &[Instruction::CallIndirect { type_index: *type_index, table_index: *table_index }],
                );
            }
            _ => self.run.extend_from_slice(&self.code[raw]),
        }
        if let Some(helper) = canonicalizer(operator) {
            self.call(helper);
        }
    }

    fn call(&mut self, helper: Helper) {
        encode(&mut self.run, &[Instruction::Call(self.meter.helpers + helper as u32)]);
    }

    fn flush(&mut self) {
        if self.cost > 0 {
            // A body of 64 KiB costs less than 2^63.
            let cost = self.cost + self.meter.costs.run;
            self.meter.charge(&mut self.out, &[Instruction::I64Const(cost.cast_signed())]);
        }
        self.out.append(&mut self.run);
        self.cost = 0;
    }
}

/// What makes the result of floating-point arithmetic canonical. Moving bits (loads, constants, `neg`, `abs`,
/// `copysign`, reinterpretation) is exact on every machine and stays as it is.
const fn canonicalizer(operator: &Operator<'_>) -> Option<Helper> {
    use Operator as O;
    match operator {
        O::F32Add
        | O::F32Sub
        | O::F32Mul
        | O::F32Div
        | O::F32Min
        | O::F32Max
        | O::F32Sqrt
        | O::F32Ceil
        | O::F32Floor
        | O::F32Trunc
        | O::F32Nearest
        | O::F32DemoteF64 => Some(Helper::Canonical32),
        O::F64Add
        | O::F64Sub
        | O::F64Mul
        | O::F64Div
        | O::F64Min
        | O::F64Max
        | O::F64Sqrt
        | O::F64Ceil
        | O::F64Floor
        | O::F64Trunc
        | O::F64Nearest
        | O::F64PromoteF32 => Some(Helper::Canonical64),
        _ => None,
    }
}

/// Whether control may leave after the instruction, or join.
const fn ends_run(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable
    )
}

fn bounded(memory: wasmparser::MemoryType) -> MemoryType {
    let maximum = memory.maximum.unwrap_or(limits::PAGES).min(limits::PAGES);
    MemoryType { minimum: memory.initial, maximum: Some(maximum), memory64: false, shared: false, page_size_log2: None }
}

fn counter(ty: ValType) -> Vec<u8> {
    let mut bytes = Vec::new();
    ty.encode(&mut bytes);
    bytes.push(1);
    let zero = if ty == ValType::I64 { ConstExpr::i64_const(0) } else { ConstExpr::i32_const(0) };
    zero.encode(&mut bytes);
    bytes
}

/// Where a global of the operation is once the gas counter stands before it. Globals are few: the check counts them.
const fn own_global(index: u32) -> u32 {
    index + 1
}

fn encode(out: &mut Vec<u8>, instructions: &[Instruction]) {
    for instruction in instructions {
        instruction.encode(out);
    }
}

/// The number types are all that the check lets through.
const fn value_type(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        _ => ValType::I32,
    }
}

const fn span(range: &std::ops::Range<u64>) -> std::ops::Range<usize> {
    // Ranges within a module of at most 2 MiB.
    range.start as usize..range.end as usize
}

/// Bytes of the number that a section starts with. Valid numbers end within five bytes.
fn leb_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1
}

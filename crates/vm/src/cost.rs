//! What everything costs, in gas. A table has a version, the version is part of genesis, and a published table
//! never changes: it decides receipts.
//!
//! One gas is about a nanosecond in the interpreter, and nothing takes more than three for it: weights follow a sweep of
//! every kind of instruction, call, instance and module (threat W2; `pleach-bench --prices`). What an execution leaves
//! behind is dearer: its price is not the time of copying but the memory and the disk of every node, for as long as it is
//! kept. A budget of gas bounds both (`docs/limits.md`).

use wasmparser::Operator;

use crate::check::ModuleInfo;

/// A versioned price list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostTable {
    /// The number by which genesis names this table.
    pub version: u32,
    /// Any execution, before it begins: making the instance.
    pub execution: u64,
    /// Each byte of code that is not warm: checking, rewriting and translating it, whether or not a node has it cached.
    pub cold_byte: u64,
    /// Each function of code that is not warm: small ones take longer to translate than their bytes.
    pub cold_function: u64,
    /// Each byte of a module that is not the body of a function: what an instance is made of, warm or not.
    pub instance_byte: u64,
    /// Each function of a module, warm or not: an instance has an entry for each, and small ones are many to a byte.
    pub instance_function: u64,
    /// Each record that a request touches: looked up, compared, carried through the window.
    pub record: u64,
    /// Each write or removal of a record, beyond its bytes: a path in the window of every node, whoever keeps the record, and
    /// a row on its disk. A path takes up to 2.2 kB for keys that were ground to be deep, for T blocks; where it ends depends on
    /// the keys of others, so all pay for the deepest.
    pub write: u64,
    /// Each byte of a value that is written: kept in memory until the disk has it, and on the disk until the window has
    /// passed, even when it was replaced.
    pub written_byte: u64,
    /// Each event, beyond its bytes.
    pub event: u64,
    /// Each byte of output, event or abort message: kept by every node, for whoever asks, until it is forgotten.
    pub receipt_byte: u64,
    /// Each page of memory, at the start and when it grows.
    pub page: u64,
    /// Each element of the table, at the start, and each item of a segment that fills it.
    pub element: u64,
    /// Each straight run of instructions that is begun, beyond the instructions: taking its price off the counter, which an
    /// interpreter does in instructions too. Without it, code that jumps all the time would be ten times too cheap.
    pub run: u64,
    /// Each local variable of a function that is entered, and each eight of its constants.
    pub local: u64,
    /// An instruction that is not listed below.
    pub instruction: u64,
    /// A load or store.
    pub memory_access: u64,
    /// An integer division or remainder.
    pub division: u64,
    /// A floating-point instruction.
    pub float: u64,
    /// A floating-point division or square root.
    pub float_division: u64,
    /// Reading or writing a global variable.
    pub global: u64,
    /// A direct call.
    pub call: u64,
    /// A call through the table.
    pub call_indirect: u64,
    /// A jump through a table.
    pub br_table: u64,
    /// Entering a host function.
    pub host: u64,
    /// Each byte that a host function copies.
    pub host_byte: u64,
    /// Finding a record by its key, beyond `host`.
    pub open: u64,
    /// Hashing, beyond `host`.
    pub hash: u64,
    /// Verifying a signature, beyond `host`.
    pub verify: u64,
}

/// The first table.
pub const V1: CostTable = CostTable {
    version: 1,
    execution: 2_000,
    cold_byte: 50,
    cold_function: 1_000,
    instance_byte: 1,
    instance_function: 5,
    record: 500,
    write: 15_000,
    written_byte: 10,
    event: 500,
    receipt_byte: 40,
    page: 5_000,
    element: 10,
    run: 5,
    local: 1,
    instruction: 1,
    memory_access: 2,
    division: 8,
    float: 10,
    float_division: 16,
    global: 3,
    call: 20,
    call_indirect: 25,
    br_table: 3,
    host: 100,
    host_byte: 1,
    open: 100,
    hash: 200,
    verify: 300_000,
};

impl CostTable {
    /// The table of a version, if this software knows it.
    #[must_use]
    pub const fn of(version: u32) -> Option<&'static Self> {
        match version {
            1 => Some(&V1),
            _ => None,
        }
    }

    /// What an instance of a module costs before its first instruction.
    pub(crate) const fn instance(&self, info: &ModuleInfo) -> u64 {
        self.page * info.initial_pages
            + self.element * (info.table_elements + info.element_items)
            + self.instance_byte * info.instance_bytes
            + self.instance_function * info.functions as u64
    }

    /// What translating a module costs beyond its bytes, where it is not warm.
    pub(crate) const fn cold_functions(&self, info: &ModuleInfo) -> u64 {
        self.cold_function * info.functions as u64
    }

    /// What one instruction costs, beyond what depends on its operands.
    pub(crate) fn instruction(&self, operator: &Operator) -> u64 {
        use Operator as O;
        match operator {
            // Structure: nothing happens at run time.
            O::Block { .. } | O::Loop { .. } | O::Else | O::End => 0,
            O::GlobalGet { .. } | O::GlobalSet { .. } => self.global,
            O::Call { .. } => self.call,
            O::CallIndirect { .. } => self.call_indirect,
            O::BrTable { .. } => self.br_table,
            O::I32DivS | O::I32DivU | O::I32RemS | O::I32RemU | O::I64DivS | O::I64DivU | O::I64RemS | O::I64RemU => {
                self.division
            }
            O::F32Div | O::F32Sqrt | O::F64Div | O::F64Sqrt => self.float_division,
            operator if is_memory_access(operator) => self.memory_access,
            operator if is_float(operator) => self.float,
            O::MemoryCopy { .. }
            | O::MemoryFill { .. }
            | O::MemoryInit { .. }
            | O::TableCopy { .. }
            | O::TableInit { .. }
            | O::MemoryGrow { .. } => self.call_indirect,
            _ => self.instruction,
        }
    }
}

const fn is_memory_access(operator: &Operator) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::I32Load { .. }
            | O::I64Load { .. }
            | O::F32Load { .. }
            | O::F64Load { .. }
            | O::I32Load8S { .. }
            | O::I32Load8U { .. }
            | O::I32Load16S { .. }
            | O::I32Load16U { .. }
            | O::I64Load8S { .. }
            | O::I64Load8U { .. }
            | O::I64Load16S { .. }
            | O::I64Load16U { .. }
            | O::I64Load32S { .. }
            | O::I64Load32U { .. }
            | O::I32Store { .. }
            | O::I64Store { .. }
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::I32Store8 { .. }
            | O::I32Store16 { .. }
            | O::I64Store8 { .. }
            | O::I64Store16 { .. }
            | O::I64Store32 { .. }
    )
}

const fn is_float(operator: &Operator) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::F32Eq
            | O::F32Ne
            | O::F32Lt
            | O::F32Gt
            | O::F32Le
            | O::F32Ge
            | O::F64Eq
            | O::F64Ne
            | O::F64Lt
            | O::F64Gt
            | O::F64Le
            | O::F64Ge
            | O::F32Abs
            | O::F32Neg
            | O::F32Ceil
            | O::F32Floor
            | O::F32Trunc
            | O::F32Nearest
            | O::F32Add
            | O::F32Sub
            | O::F32Mul
            | O::F32Min
            | O::F32Max
            | O::F32Copysign
            | O::F64Abs
            | O::F64Neg
            | O::F64Ceil
            | O::F64Floor
            | O::F64Trunc
            | O::F64Nearest
            | O::F64Add
            | O::F64Sub
            | O::F64Mul
            | O::F64Min
            | O::F64Max
            | O::F64Copysign
            | O::I32TruncF32S
            | O::I32TruncF32U
            | O::I32TruncF64S
            | O::I32TruncF64U
            | O::I64TruncF32S
            | O::I64TruncF32U
            | O::I64TruncF64S
            | O::I64TruncF64U
            | O::I32TruncSatF32S
            | O::I32TruncSatF32U
            | O::I32TruncSatF64S
            | O::I32TruncSatF64U
            | O::I64TruncSatF32S
            | O::I64TruncSatF32U
            | O::I64TruncSatF64S
            | O::I64TruncSatF64U
            | O::F32ConvertI32S
            | O::F32ConvertI32U
            | O::F32ConvertI64S
            | O::F32ConvertI64U
            | O::F32DemoteF64
            | O::F64ConvertI32S
            | O::F64ConvertI32U
            | O::F64ConvertI64S
            | O::F64ConvertI64U
            | O::F64PromoteF32
    )
}

/* The bank's transfer: as operations/bank_transfer in Rust, on the same records and with the same refusals.
 * An account is the record accounts/NAME: the owner's key of 32 bytes, and the balance as u64. */
#include "pleach.h"

PLEACH_ARGUMENTS("from: str, to: str, amount: u64");

enum { NAME = 257, NO_ACCOUNT = 259, CORRUPT = 260, POINTLESS = 262, INSUFFICIENT = 263, TOO_MUCH = 264 };

#define ACCOUNT_BYTES 40

typedef struct {
    pleach_bytes name;
    uint32_t record;
    uint8_t value[ACCOUNT_BYTES];
    uint64_t balance;
} account;

static uint8_t message[1024];

static void refuse_name(pleach_bytes name) {
    pleach_text text = {message, 0, sizeof message, 0};
    pleach_add(&text, pleach_literal("not a name: \""));
    pleach_add(&text, name);
    pleach_add(&text, pleach_literal("\""));
    pleach_abort(NAME, message, text.len);
}

static void load(account *a, pleach_bytes name) {
    if (!pleach_is_part(name)) refuse_name(name);
    a->name = name;
    a->record = pleach_open_in_domain("accounts/", name);
    uint32_t len = pleach_rec_get(a->record, a->value, ACCOUNT_BYTES);
    if (len == PLEACH_ABSENT) pleach_fail(NO_ACCOUNT, "no account: ", name);
    if (len != ACCOUNT_BYTES) pleach_fail(CORRUPT, "not an account: ", name);
    __builtin_memcpy(&a->balance, a->value + 32, 8);
}

static void store(account *a) {
    __builtin_memcpy(a->value + 32, &a->balance, 8);
    pleach_rec_put(a->record, a->value, ACCOUNT_BYTES);
}

/* "insufficient funds: alice has 5, needs 7" */
static void refuse(uint32_t code, const char *what, const account *a, const char *verb, uint64_t amount) {
    pleach_text text = {message, 0, sizeof message, 0};
    pleach_add(&text, pleach_literal(what));
    pleach_add(&text, a->name);
    pleach_add(&text, pleach_literal(" has "));
    pleach_add_u64(&text, a->balance);
    pleach_add(&text, pleach_literal(verb));
    pleach_add_u64(&text, amount);
    pleach_abort(code, message, text.len);
}

/* Names are short; what is longer is refused. */
static uint8_t buffer[2048];

PLEACH_RUN {
    pleach_arguments arguments = pleach_arguments_in(buffer, sizeof buffer);
    pleach_bytes from = pleach_take_bytes(&arguments, "from");
    pleach_bytes to = pleach_take_bytes(&arguments, "to");
    uint64_t amount = pleach_take_u64(&arguments, "amount");
    pleach_finish(&arguments);

    if (amount == 0) pleach_fail(POINTLESS, "the amount is 0", pleach_literal(""));
    if (pleach_equal(from, to)) pleach_fail(POINTLESS, "from and to are the same account: ", from);
    account payer, payee;
    load(&payer, from);
    load(&payee, to);
    if (!pleach_is_signer(payer.value)) pleach_fail(PLEACH_CODE_SIGNATURE, "not signed by ", from);
    if (payer.balance < amount) refuse(INSUFFICIENT, "insufficient funds: ", &payer, ", needs ", amount);
    if (payee.balance > UINT64_MAX - amount) refuse(TOO_MUCH, "too much: ", &payee, ", gets ", amount);
    payer.balance -= amount;
    payee.balance += amount;
    store(&payer);
    store(&payee);

    uint64_t balances[2] = {payer.balance, payee.balance};
    pleach_ret(balances, sizeof balances);
}

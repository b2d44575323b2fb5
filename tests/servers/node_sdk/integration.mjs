// An ordinary integration with Stripe's own library for Node: it runs against the sandbox at the address in argv.
//
// Prints one JSON object with what it saw; the test that started it knows what that must be.
import Stripe from "stripe";

const [address, receiver] = process.argv.slice(2).map((each) => new URL(each));
const stripe = new Stripe("sk_test_node", {
  host: address.hostname,
  port: address.port,
  protocol: "http",
  maxNetworkRetries: 0,
  telemetry: false,
});

const refusal = async (call) => {
  try {
    await call();
    return "not refused";
  } catch (error) {
    return `${error.type} ${error.code ?? ""}`.trim();
  }
};

const hook = await stripe.webhookEndpoints.create({ url: receiver.href, enabled_events: ["invoice.paid"] });
const customer = await stripe.customers.create({
  email: "node@fly.test",
  metadata: { org: "node" },
  payment_method: "pm_card_visa",
  invoice_settings: { default_payment_method: "pm_card_visa" },
});
await stripe.customers.createBalanceTransaction(customer.id, { amount: -500, currency: "usd" });
const draft = await stripe.invoices.create({
  customer: customer.id,
  currency: "usd",
  automatic_tax: { enabled: false },
  pending_invoice_items_behavior: "exclude",
});
await stripe.invoices.addLines(draft.id, { lines: [{ amount: 1200 }, { amount: 2300 }] });
const open = await stripe.invoices.finalizeInvoice(draft.id);
const lowered = await stripe.creditNotes.create({ invoice: draft.id, amount: 1000 });
const paid = await stripe.invoices.pay(draft.id, { expand: ["customer", "payments.data.payment.payment_intent"] });
const intent = paid.payments.data[0].payment.payment_intent;
const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 200 });
const credited = await stripe.creditNotes.create({
  invoice: draft.id,
  amount: 300,
  refund_amount: 100,
  credit_amount: 200,
});
const found = await stripe.customers.search({ query: "metadata['org']:'node'" });
const reasons = [];
for await (const each of stripe.customers.listBalanceTransactions(customer.id, { limit: 1 })) reasons.push(each.type);
const declining = await stripe.paymentMethods.attach("pm_card_chargeCustomerFail", { customer: customer.id });
const unpaid = await stripe.invoices.create({ customer: customer.id, currency: "usd" });
await stripe.invoices.addLines(unpaid.id, { lines: [{ amount: 900 }] });

console.log(
  JSON.stringify({
    version: Stripe.API_VERSION,
    open: [open.total, open.starting_balance, open.amount_due],
    lowered: lowered.pre_payment_amount,
    paid: [paid.status, paid.amount_paid, paid.customer.email, intent.amount_received],
    refund: [refund.status, refund.amount],
    credited: [credited.type, credited.refunds[0].amount_refunded],
    found: found.data.map((each) => each.id === customer.id),
    reasons,
    refusals: [
      await refusal(() => stripe.invoices.pay(unpaid.id, { payment_method: declining.id })),
      await refusal(() => stripe.customers.create({ email: "nobody" })),
      await refusal(() => stripe.customers.list({}, { apiVersion: "2011-01-01" })),
      await refusal(() => stripe.invoices.createPreview({ customer: customer.id })),
    ],
    secret: hook.secret,
  }),
);

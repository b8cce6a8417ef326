/** Headers that a broker writes about one delivery (RabbitMQ's names), and `CC`, by which it routes. Sent on with a message, they would count or route it again. */
export const brokerHeaders: ReadonlySet<string> = new Set([
  "x-death",
  "x-first-death-exchange",
  "x-first-death-queue",
  "x-first-death-reason",
  "x-last-death-exchange",
  "x-last-death-queue",
  "x-last-death-reason",
  "x-delivery-count",
  "x-acquired-count",
  "CC"
])

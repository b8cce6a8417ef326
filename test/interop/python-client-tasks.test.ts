/** What Celery's own integration tests ask of single tasks, sent by Debian's Celery to a worker of ours. */
import { calls } from "./support/checks/calls.ts"
import { endings } from "./support/checks/endings.ts"
import { onEach } from "./support/clients.ts"

onEach("calls", calls)
onEach("endings", endings)

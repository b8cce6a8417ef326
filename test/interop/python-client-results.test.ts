/** What Debian's Celery reads of the results that a worker of ours stored. */
import { extended, results } from "./support/checks/results.ts"
import { onEach } from "./support/clients.ts"

onEach("results", results)
onEach("extended results", extended, { extended: true })

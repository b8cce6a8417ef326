/** Chains and groups of every shape that Celery's own integration tests have, sent by Debian's Celery to a worker of ours. */
import { chains } from "./support/checks/chains.ts"
import { groups } from "./support/checks/groups.ts"
import { onEach } from "./support/clients.ts"

onEach("chains", chains)
onEach("groups", groups)

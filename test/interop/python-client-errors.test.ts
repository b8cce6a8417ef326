/** Failures in every shape of a canvas, sent by Debian's Celery to a worker of ours. */
import { errors } from "./support/checks/errors.ts"
import { onEach } from "./support/clients.ts"

onEach("failures", errors)

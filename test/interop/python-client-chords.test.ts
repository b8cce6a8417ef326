/** Chords of every shape that Celery's own integration tests have, sent by Debian's Celery to a worker of ours. */
import { chordRuns } from "./support/checks/chordRuns.ts"
import { chords } from "./support/checks/chords.ts"
import { onEach } from "./support/clients.ts"

onEach("chords", { stored: [...chords.stored, ...chordRuns.stored] })

/** Debian's Celery set up in other ways, and a worker of ours. */
import { elsewhere, protocol1 } from "./support/checks/settings.ts"
import { onEach } from "./support/clients.ts"

onEach("protocol 1", protocol1, { conf: { task_protocol: 1 } })
onEach("another time zone", elsewhere, { conf: { enable_utc: false, timezone: "America/New_York" } })

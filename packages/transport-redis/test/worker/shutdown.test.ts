import { Layer } from "effect"
import * as shutdown from "../../../../test/support/fleet/shutdown.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { World } from "./World.ts"

// What is killed while it stops comes back when this is over.
shutdown.suite(World.pipe(Layer.provideMerge(Server.layer())), { lease: 2000 })

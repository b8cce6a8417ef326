/** Redis for Apium. The door is `@apium/transport-redis/node`: it brings the client. */
export * as RedisClient from "./RedisClient.ts"
export * as RedisStore from "./RedisStore.ts"
export * as RedisTransport from "./RedisTransport.ts"
export * as RedisUri from "./RedisUri.ts"

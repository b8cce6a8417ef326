/** As much of `cloudflare:sockets` as the door needs. Its types come with a package that also declares the whole platform. */
declare module "cloudflare:sockets" {
  interface Socket {
    readonly readable: ReadableStream<Uint8Array>
    readonly writable: WritableStream<Uint8Array>
    /** After the handshake, where there is TLS. */
    readonly opened: Promise<unknown>
    readonly closed: Promise<void>
    readonly close: () => Promise<void>
  }
  export const connect: (
    address: { readonly hostname: string; readonly port: number },
    options: { readonly secureTransport: "on" | "off" }
  ) => Socket
}

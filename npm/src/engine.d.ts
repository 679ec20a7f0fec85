/** The engine as wasm-bindgen presents it (target `web`). Text crosses the boundary once, as JSON. */
export class Engine {
  private constructor();
  static open(options: string, token: () => Promise<string>, events: (json: string) => void): Promise<Engine>;
  submit(ticket: number, collection: string, id: string, schema: number, intents: string): void;
  openQuery(id: number, query: string): void;
  closeQuery(id: number): void;
  view(id: number): string | undefined;
  status(): string;
  rejected(): string;
  discard(seq: number): void;
  setNetwork(allowed: boolean): void;
  wake(): void;
  clientId(): string;
  stop(): Promise<void>;
  free(): void;
}

export function initSync(options: { module: WebAssembly.Module }): unknown;

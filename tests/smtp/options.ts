// The relay that dialogue scripts talk to, unless they say `! option`.

/** What a script can rely on; as in the session's options. */
export interface DialogueOptions {
  readonly hostname: string;
  readonly greeting: string;
  /** Octets. */
  readonly maxMessageSize: number;
  readonly maxRecipients: number;
  readonly offerTls: boolean;
  readonly requireTls: boolean;
  /** MAX_MEMORY, octets: two thirds of it are for messages. */
  readonly maxMemory: number;
}

export const DIALOGUE_OPTIONS: DialogueOptions = {
  hostname: "relay.example",
  greeting: "Microsoft Graph SMTP OAuth Relay",
  maxMessageSize: 36_700_160,
  // So few that a script can reach the limit; RFC 5321 §4.5.3.1.8 asks for 100 in service.
  maxRecipients: 3,
  offerTls: true,
  requireTls: true,
  maxMemory: 268_435_456,
};

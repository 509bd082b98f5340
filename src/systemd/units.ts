// The units of `deploy/systemd/`, which are part of the program so that it can install them.

import certificatePath from "../../deploy/systemd/smtp-oauth-relay-certificate.path" with {
  type: "text",
};
import certificate from "../../deploy/systemd/smtp-oauth-relay-certificate.service" with {
  type: "text",
};
import service from "../../deploy/systemd/smtp-oauth-relay.service" with { type: "text" };
import smtps from "../../deploy/systemd/smtp-oauth-relay-smtps.socket" with { type: "text" };
import smtp from "../../deploy/systemd/smtp-oauth-relay.socket" with { type: "text" };

export interface Unit {
  readonly name: string;
  readonly text: string;
}

export const SERVICE: Unit = { name: "smtp-oauth-relay.service", text: service };

/** Watches over the certificate's files; the service starts it. */
const WATCH: Unit = { name: "smtp-oauth-relay-certificate.path", text: certificatePath };
/** What {@link WATCH} starts. */
const RENEWAL: Unit = { name: "smtp-oauth-relay-certificate.service", text: certificate };

/** What is installed in any case. */
export const UNITS: readonly Unit[] = [WATCH, RENEWAL, SERVICE];

/** For the ports below 1024, by socket activation. */
export const SOCKETS: readonly Unit[] = [
  { name: "smtp-oauth-relay.socket", text: smtp },
  { name: "smtp-oauth-relay-smtps.socket", text: smtps },
];

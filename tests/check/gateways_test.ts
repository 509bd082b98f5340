/** The gateways of the default routes, from Linux's tables as found on real machines. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultGateways } from "../../src/check/gateways.ts";

const HEAD =
  "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT   \n";
/** A Docker container on the standard bridge. */
const CONTAINER = HEAD +
  "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0                    \n" +
  "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0                    \n";
/** A machine with two uplinks, and a network behind another router. */
const MACHINE = HEAD +
  "enp1s0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
  "wlp2s0\t00000000\tFE0200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n" +
  "enp1s0\t0000000A\t0201A8C0\t0003\t0\t0\t100\t000000FF\t0\t0\t0\n" +
  "enp1s0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
/** Two halves instead of a default route, as VPNs set it; and one without a gateway. */
const VPN = HEAD +
  "tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n" +
  "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n";

const NONE = "0".repeat(32);
const route6 = (destination: string, prefix: string, hop: string, device: string) =>
  `${destination} ${prefix} ${NONE} 00 ${hop} 00000400 00000003 00000000 00000003 ${device}\n`;
const IPV6 = route6("fd4d6f7265000000".padEnd(32, "0"), "40", NONE, "eth0") +
  route6(NONE, "00", "fd4d6f72650000000000000000000001", "eth0") +
  route6(NONE, "00", "fe80000000000000021122fffe334455", "eth1") +
  // The kernel's own, which leads nowhere.
  `${NONE} 00 ${NONE} 00 ${NONE} ffffffff 00000001 00000000 00200200 lo\n`;

describe("the gateways of this machine", () => {
  const cases: readonly [
    name: string,
    ipv4: string | undefined,
    ipv6: string | undefined,
    string[],
  ][] = [
    ["are one in a container", CONTAINER, "", ["172.17.0.1"]],
    ["are all of the default routes'", MACHINE, undefined, ["192.168.1.1", "192.0.2.254"]],
    ["are none where no default route has one", VPN, "", []],
    ["are IPv6, too", CONTAINER, IPV6, [
      "172.17.0.1",
      "fd4d:6f72:6500::1",
      "fe80::211:22ff:fe33:4455",
    ]],
    ["are none where there is no route", HEAD, "", []],
    ["are none in what is no such table", "a b c\n\n0 0\n", "x\n\n", []],
  ];
  for (const [name, ipv4, ipv6, expected] of cases) {
    it(name, () => assert.deepEqual(defaultGateways({ ipv4, ipv6 }), expected));
  }

  it("are unknown if the system has no such files", () => {
    assert.equal(defaultGateways({ ipv4: undefined, ipv6: undefined }), undefined);
  });
});

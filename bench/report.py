# SPDX-License-Identifier: MIT
"""The results as Markdown tables."""

from measure import LOAD_BUSY_MAX


def table(title, head, rows):
    print(f"\n{title}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def times(row, base=False):
    if row is None:
        return "not available"
    cell = f"{row['us']:.1f}"
    if not base:
        cell += " · {:.2f} ({:.2f}–{:.2f})".format(*row["ratio"])
    return cell + ("" if row["load_busy"] <= LOAD_BUSY_MAX else " *")


def compared(title, workloads, base):
    """CPU time of each, and how many times that of the base."""
    labels = list(dict.fromkeys(l for r in workloads.values() for l in r))
    labels = [base] + [l for l in labels if l != base]
    cells = [row for of in workloads.values() for row in of.values() if row]
    rows = [
        [name] + [times(r[l], l == base) if l in r else "" for l in labels]
        for name, r in workloads.items()
    ]
    table(title, ["workload", *labels], rows)
    if any(row["load_busy"] > LOAD_BUSY_MAX for row in cells):
        print(f"\n\\* the load was busy more than {LOAD_BUSY_MAX:.0%} of the time: it was the bottleneck")
    return labels


def print_forwarding(of, base):
    labels = compared("CPU microseconds per request, and how many times that of " + base, of, base)
    share = lambda r: "" if r is None or r["user_share"] is None else f"{r['user_share']:.0%}"
    rows = [[name] + [share(r.get(l)) for l in labels] for name, r in of.items()]
    table("Of which in user space", ["workload", *labels], rows)


def print_logs(of, without):
    base = next(l for l in next(iter(of.values())) if l != without)
    compared("With access logs", of, base)
    rows = [
        [name, label, *("{:.2f} ({:.2f}–{:.2f})".format(*r[k]) for k in ("record_us", "record_worker_us"))]
        for name, rows_of in of.items()
        for label, r in rows_of.items()
        if "record_us" in r
    ]
    table("A record costs, in microseconds", ["workload", "log", "in all", "of the worker"], rows)


def print_latency(of, _):
    keys = ("p50", "p90", "p99", "p999", "late_p99")
    rows = [
        [f"{share} ({r['rate']}/s)", label, *(f"{row[k]:.0f}" for k in keys), str(row["errors"])]
        for share, r in of.items()
        for label, row in r["rows"].items()
    ]
    head = ["load", "proxy", "p50", "p90", "p99", "p99.9", "p99 of lateness", "errors"]
    table("Open-loop latency in microseconds, from the instant a request was due", head, rows)


def print_backends(of, _):
    for workload, policies in of.items():
        labels = list(dict.fromkeys(l for r in policies.values() for l in r))
        rows = [
            [policy] + [times(r[l], l.endswith("-3")) if l in r else "" for l in labels]
            for policy, r in policies.items()
        ]
        table(f"Number of backends, {workload}: times that of 3", ["policy", *labels], rows)


def print_workers(of, _):
    rows = []
    for where, workloads in of.items():
        for name, r in workloads.items():
            for label in [l for l in r if l.endswith("-w2")]:
                one = r[label.replace("-w2", "-w1")]
                over = f"{r[label]['over_share']:+.1%}"
                rows.append([where, name, label[:-3], times(one, True), times(r[label]), over])
    head = ["proxy runs on", "workload", "proxy", "1 worker", "2 workers", "busiest over its share"]
    table("Workers", head, rows)


def print_memory(of, _):
    rows = [
        [f"{of['idle']} clients", *(f"{v:.0f}" for v in of["front"].values())],
        [f"{of['upstream_idle']} upstream", *("" if v is None else f"{v:.0f}" for v in of["upstream"].values())],
    ]
    table("Bytes for each idle connection", ["", *of["front"]], rows)


def print_startup(of, _):
    rows = [[n, *(f"{r[k]:.0f}" for k in ("check_ms", "check_cpu_ms", "start_ms"))] for n, r in of.items()]
    table("With many backends, in milliseconds", ["", "check", "its CPU time", "start"], rows)


def print_protocols(title):
    """With the share of user space. What is not available is no base: then the first that is."""

    def show(of, base):
        rows = next((r for r in of.values() if any(r.values())), {})
        base = base if rows.get(base) else next((l for l in rows if rows[l]), base)
        labels = compared(f"{title}: CPU microseconds per request, and times that of {base}", of, base)
        share = lambda r: f"{r['user_share']:.0%}" if r and r["user_share"] is not None else ""
        rows = [[name] + [share(r.get(l)) for l in labels] for name, r in of.items()]
        table("Of which in user space", ["workload", *labels], rows)

    return show


def print_h2_backends(of, _):
    rows = []
    for name, r in of.items():
        for kind in [l.removesuffix("/h2") for l in r if l.endswith("/h2")]:
            again = times(r.get(kind + " again")) if kind + " again" in r else ""
            rows.append([name, kind, times(r[kind], True), again, times(r[kind + "/h2"])])
    head = ["workload", "proxy", "HTTP/1 backends", "the same again", "HTTP/2 backends"]
    table("HTTP/1 clients, backends over HTTP/1 and over HTTP/2", head, rows)


def print_tls_memory(of, _):
    cells = ["not available" if b is None else f"{b:.0f}" for b in of["bytes"].values()]
    table("Bytes for each idle HTTPS connection", ["", *of["bytes"]], [[f"{of['idle']} clients", *cells]])


def print_results(results):
    base = results["base"]
    kinds = (
        ("workloads", print_forwarding), ("logs", print_logs), ("latency", print_latency),
        ("backends", print_backends), ("workers", print_workers), ("memory", print_memory),
        ("startup", print_startup), ("tls", print_protocols("HTTPS")), ("h2", print_protocols("HTTP/2")),
        ("h2_backends", print_h2_backends), ("tls_memory", print_tls_memory),
    )  # fmt: skip
    print(", ".join(f"{n} {v}" for n, v in results["versions"].items()), f"on Linux {results['machine']}")
    for name, show in kinds:
        if results.get(name):
            show(results[name], base)
    if "noise" in results:
        print("\n{} against itself: {:.3f} ({:.3f}–{:.3f})".format(base, *results["noise"]["ratio"]))

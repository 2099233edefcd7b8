#!/usr/bin/env python3
"""Who may come in and what he may do: certificates, tokens, roles, nodes, the audit log; with kubectl and openssl."""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages, sandbox  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.cluster import ClusterTest, document, pod  # noqa: E402

POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
    {"level": "RequestResponse", "resources": [{"group": "", "resources": ["configmaps"]}]}]}


class AccessTest(ClusterTest):
    @classmethod
    def setUpClass(cls):
        folder = Path(tempfile.mkdtemp(prefix="audit-", dir=sandbox.scratch()))
        cls.audit = folder / "audit.log"
        (folder / "policy.json").write_text(json.dumps(POLICY))
        cls.flags = ("--audit-policy-file", folder / "policy.json", "--audit-log-path", cls.audit)
        super().setUpClass()
        cls.authority = cls.home / "cluster/pki/ca.crt"

    def openssl(self, *words):
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def whoever(self, *credentials):
        """Words for kubectl: the cluster, and these credentials alone."""
        return ("--kubeconfig", "/dev/null", "--server", self.cluster.url, "--certificate-authority", self.authority, *credentials)

    def request(self, name, subject, signer, usages, *credentials):
        """A CertificateSigningRequest; its key is NAME.key."""
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-subj", subject,
                     "-out", f"{name}.csr")
        csr = document("CertificateSigningRequest", name, "certificates.k8s.io/v1", spec={
            "request": base64.b64encode((Path(self.folder) / f"{name}.csr").read_bytes()).decode(), "signerName": signer, "usages": usages})
        self.addCleanup(self.run_kubectl, "delete", "csr", name, ns=None)
        self.kubectl(*credentials, "create", "--validate=false", "-f", "-", stdin=json.dumps(csr), ns=None)

    def certificate(self, name):
        """What was issued, in NAME.crt; as words for kubectl."""
        issued = until(lambda: self.field(".status.certificate", "csr", name, ns=None), f"the certificate of {name}")
        (Path(self.folder) / f"{name}.crt").write_bytes(base64.b64decode(issued))
        return self.whoever("--client-certificate", f"{name}.crt", "--client-key", f"{name}.key")

    def test_serving_certificate(self):
        self.assertIn("OK", self.openssl("verify", "-CAfile", self.authority, "-purpose", "sslserver", self.home / "cluster/pki/apiserver.crt"))
        names = self.openssl("x509", "-in", self.home / "cluster/pki/apiserver.crt", "-noout", "-ext", "subjectAltName")
        for name in ("localhost", "kubernetes.default.svc.cluster.local", "127.0.0.1", "10.43.0.1"):
            self.assertIn(name, names)

    def test_approved_users_come_in(self):
        self.request("jane", "/O=dev/CN=jane", "kubernetes.io/kube-apiserver-client", ["client auth"])
        self.kubectl("certificate", "approve", "jane", ns=None)
        jane = self.certificate("jane")
        self.assertIn("OK", self.openssl("verify", "-CAfile", self.authority, "-purpose", "sslclient", "jane.crt"))
        self.assertRegex(self.kubectl(*jane, "auth", "whoami", ns=None), r"Username +jane\s+Groups +\[dev system:authenticated\]")
        self.assertIn('User "jane" cannot list resource "pods" in API group "" in the namespace', self.refused(*jane, "get", "pods"))

    def test_nobody_gives_more_than_he_has(self):
        self.kubectl("create", "rolebinding", "owner", "--clusterrole=admin", "--user=jane")
        self.kubectl("create", "role", "own", "--verb=delete", "--resource=pods", "--as=jane")
        self.assertIn('is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["delete"]}',
                      self.refused("create", "role", "more", "--verb=delete", "--resource=nodes", "--as=jane"))
        self.assertIn("permissions not currently held", self.refused("create", "rolebinding", "more", "--clusterrole=cluster-admin", "--user=x", "--as=jane"))

    def test_aggregated_roles_follow(self):
        role = document("ClusterRole", "more-for-view", "rbac.authorization.k8s.io/v1", {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
                        rules=[{"apiGroups": ["x.example"], "resources": ["things"], "verbs": ["get"]}])
        self.addCleanup(self.run_kubectl, "delete", "clusterrole", "more-for-view", ns=None)
        self.apply(role)
        for name in ("view", "edit", "admin"):
            until(lambda name=name: "things" in self.kubectl("get", "clusterrole", name, "-o", "yaml", ns=None), f"{name} to have the rule")
        self.kubectl("delete", "clusterrole", "more-for-view", ns=None)
        until(lambda: "things" not in self.kubectl("get", "clusterrole", "admin", "-o", "yaml", ns=None), "admin to have it no more")

    def test_nodes_join_and_see_what_is_theirs(self):
        self.apply({**document("Secret", "bootstrap-token-abcdef"), "type": "bootstrap.kubernetes.io/token", "stringData": {
            "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}}, words=("-n", "kube-system"))
        for name, role in (("join", "system:node-bootstrapper"), ("renew", "system:certificates.k8s.io:certificatesigningrequests:nodeclient")):
            self.addCleanup(self.run_kubectl, "delete", "clusterrolebinding", name, ns=None)
            self.kubectl("create", "clusterrolebinding", name, f"--clusterrole={role}", "--group=system:bootstrappers", ns=None)
        self.request("node-a", "/O=system:nodes/CN=system:node:a", "kubernetes.io/kube-apiserver-client-kubelet", ["digital signature", "client auth"],
                     *self.whoever("--token=abcdef.0123456789abcdef"))
        node = self.certificate("node-a")
        self.kubectl("create", "secret", "generic", "used", "--from-literal=a=b")
        self.kubectl("create", "secret", "generic", "other", "--from-literal=a=b")
        self.apply(pod("web", nodeName="a", imagePullSecrets=[{"name": "used"}]))
        self.kubectl(*node, "get", "secret", "used")
        self.assertIn("no relationship found between node 'a' and this object", self.refused(*node, "get", "secret", "other"))
        self.assertIn("web", self.kubectl(*node, "get", "pods", "--field-selector=spec.nodeName=a"))
        self.assertIn("can only list/watch pods with spec.nodeName field selector", self.refused(*node, "get", "pods"))
        self.assertIn("only its own Node object", self.refused(*node, "get", "node", "b", ns=None))

    def test_tokens_end_with_what_they_are_bound_to(self):
        self.apply(pod("web"))
        token = self.kubectl("create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=web").strip()
        who = ("auth", "whoami", "-o", "json")
        self.assertEqual(["web"], json.loads(self.kubectl(*self.whoever(f"--token={token}"), *who))["status"]["userInfo"]["extra"][
            "authentication.kubernetes.io/pod-name"])
        self.kubectl("delete", "pod", "web", "--grace-period=0", "--force")
        self.assertIn("Unauthorized", self.refused(*self.whoever(f"--token={token}"), *who))
        self.assertIn("may not specify a duration less than 10 minutes", self.refused("create", "token", "default", "--duration=1m"))

    def test_secrets_are_filled_with_tokens(self):
        self.apply({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {
            "name": "forever", "annotations": {"kubernetes.io/service-account.name": "default"}}})
        token = base64.b64decode(until(lambda: self.field(".data.token", "secret", "forever"), "the token")).decode()
        self.assertIn(f"system:serviceaccount:{self.ns}:default", self.kubectl(*self.whoever(f"--token={token}"), "auth", "whoami"))

    def test_keys_for_others(self):
        keys = json.loads(self.kubectl("get", "--raw", "/openid/v1/jwks", ns=None))["keys"]
        header = json.loads(base64.urlsafe_b64decode(self.kubectl("create", "token", "default").split(".")[0] + "=="))
        self.assertIn((header["kid"], header["alg"]), [(key["kid"], key["alg"]) for key in keys])

    def test_audit(self):
        self.kubectl("create", "configmap", "seen", "--from-literal=a=b")
        self.kubectl("create", "secret", "generic", "hidden", "--from-literal=password=xyzzy")
        self.refused("get", "configmaps", "--as=jane")

        def events():
            found = [json.loads(line) for line in self.audit.read_text().splitlines()]
            found = [event for event in found if event["objectRef"].get("namespace") == self.ns]
            return len(found) >= 3 and any(event["verb"] == "list" for event in found) and found

        found = {(event["objectRef"]["resource"], event["verb"]): event for event in until(events, "the events")}
        created = found["configmaps", "create"]
        self.assertEqual(({"a": "b"}, {"a": "b"}, 201), (created["requestObject"]["data"], created["responseObject"]["data"], created["responseStatus"]["code"]))
        self.assertEqual("kubernetes-admin", created["user"]["username"])
        self.assertNotIn("requestObject", found["secrets", "create"])
        self.assertNotIn(base64.b64encode(b"xyzzy").decode(), self.audit.read_text())
        refused = found["configmaps", "list"]
        self.assertEqual(("jane", 403, "forbid"), (refused["impersonatedUser"]["username"], refused["responseStatus"]["code"],
                                                   refused["annotations"]["authorization.k8s.io/decision"]))


if __name__ == "__main__":
    packages.need(packages.kubectl)
    main()

//! TLS on the gRPC port, with certificates that are made for each test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use semroute::app::App;
use semroute::config::Config;
use semroute::grpc::BoundServer;
use semroute::grpc::pb::router_service_client::RouterServiceClient;
use semroute::model::Silent;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::outcome::is_fault;
use crate::server::{Setup, TestServer, route_request};

/// An authority of its own, in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: TempDir::new().unwrap() };
        std::fs::write(authority.path("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key` for a host.
    fn sign(&self, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn toml(&self, more: &str) -> String {
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        let (certificate, key) = (quoted(self.path("server.pem")), quoted(self.path("server.key")));
        format!("[server.tls]\ncertificate = {certificate}\nkey = {key}\n{more}\n")
    }

    fn trusted(&self) -> ClientTlsConfig {
        let ca = std::fs::read(self.path("ca.pem")).unwrap();
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca))
    }

    fn identity(&self, name: &str) -> Identity {
        let read = |end: &str| std::fs::read(self.path(&format!("{name}.{end}"))).unwrap();
        Identity::from_pem(read("pem"), read("key"))
    }
}

async fn connect(server: &TestServer, host: &str, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", server.address.port())).unwrap();
    endpoint.connect_timeout(Duration::from_secs(5)).tls_config(tls.domain_name(host)).unwrap().connect().await
}

async fn answers(channel: Channel) -> bool {
    RouterServiceClient::new(channel).route(route_request("what is 7 times 8?")).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_speaks_tls_alone_and_follows_its_certificate() {
    let authority = Authority::new();
    authority.sign("server", "first.test");
    let mut server = Setup::toml(authority.toml("")).start().await;
    assert!(answers(connect(&server, "first.test", authority.trusted()).await.unwrap()).await);
    assert!(connect(&server, "second.test", authority.trusted()).await.is_err(), "not its name");
    assert!(connect(&server, "first.test", Authority::new().trusted()).await.is_err(), "not its authority");
    let plain = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await;
    let plain = match plain {
        Ok(channel) => answers(channel).await,
        Err(_) => false,
    };
    assert!(!plain);
    authority.sign("server", "second.test");
    let begun = std::time::Instant::now();
    let channel = loop {
        match connect(&server, "second.test", authority.trusted()).await {
            Ok(channel) => break channel,
            Err(error) if begun.elapsed() > Duration::from_secs(10) => panic!("{error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    assert!(answers(channel).await);
    server.ask_to_stop();
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_certificates_where_they_must() {
    let authority = Authority::new();
    authority.sign("server", "a.test");
    authority.sign("client", "client.test");
    let stranger = Authority::new();
    stranger.sign("client", "client.test");
    for (mode, without) in [("required", false), ("optional", true)] {
        let more = format!("client_ca = {:?}\nclient_auth = '{mode}'", authority.path("ca.pem").display().to_string());
        // Keys are asked for on top.
        let server = Setup::toml(format!("auth.mode = 'required'\n{}", authority.toml(&more))).start().await;
        let reached = async |tls: ClientTlsConfig| {
            let Ok(channel) = connect(&server, "a.test", tls).await else { return false };
            let status = RouterServiceClient::new(channel).route(route_request("x")).await.unwrap_err();
            let reached = status.code() == tonic::Code::Unauthenticated;
            if reached {
                is_fault(&status, tonic::Code::Unauthenticated, "MISSING_KEY");
            }
            reached
        };
        assert!(reached(authority.trusted().identity(authority.identity("client"))).await, "{mode}");
        assert_eq!(reached(authority.trusted()).await, without, "{mode}");
        assert!(!reached(authority.trusted().identity(stranger.identity("client"))).await, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    authority.sign("server", "a.test");
    authority.sign("other", "a.test");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(authority.path("encrypted.key"), encrypted).unwrap();
    let check = async |certificate: &str, key: &str, expected: &str| {
        let path = |name: &str| authority.path(name).display().to_string();
        let text = format!(
            "data_dir = {:?}\nmodels_dir = {:?}\n[server.tls]\ncertificate = {:?}\nkey = {:?}\n",
            path("data"),
            crate::server::models_dir().await.display().to_string(),
            path(certificate),
            path(key),
        );
        let config = Config::parse(&text, std::iter::empty(), "test").unwrap();
        let app = App::start(config, &Silent::shared()).await.unwrap();
        let bound = BoundServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = bound.run(&app, std::future::pending()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("AAAA"), "{error}");
    };
    check("server.pem", "other.key", "is not the key of the certificate").await;
    check("server.pem", "encrypted.key", "is encrypted").await;
    check("server.pem", "server.pem", "holds no private key").await;
    check("server.key", "server.key", "holds no certificate").await;
    check("absent.pem", "server.key", "server.tls.certificate").await;
}

/// With the program as an operator runs it.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_a_key_and_uses_it_over_tls() {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let toml = format!("auth.mode = 'required'\n{}", authority.toml(""));
    let server = Setup::toml(toml).start().await;
    let data = server.folder.path().join("data");
    let run = async |arguments: &[&str], key: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_semroute"));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).args(arguments).env("SEMROUTE__DATA_DIR", &data);
        command.env_remove("SEMROUTE_KEY").envs(key.map(|key| ("SEMROUTE_KEY", key)));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (made, secret, said) = run(&["key", "create", "--name", "cli", "--money-per-day", "2.5"], None).await;
    assert!(made && secret.starts_with("srk_") && !said.contains(&secret), "{said}");
    let (_, listed, _) = run(&["key", "list"], None).await;
    assert!(listed.contains("cli") && listed.contains("0 of 2.5") && !listed.contains("srk_"), "{listed}");
    let url = format!("https://localhost:{}", server.address.port());
    let ca = authority.path("ca.pem").display().to_string();
    let route = ["route", "--server", &url, "--ca", &ca, "--json", "what is 7 times 8?"];
    let begun = std::time::Instant::now();
    // The server follows the store.
    let answer = loop {
        let (answered, answer, said) = run(&route, Some(&secret)).await;
        if answered {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{said}");
    };
    assert!(answer.contains("\"route\":\"maths\""), "{answer}");
    let (answered, _, said) = run(&route, None).await;
    assert!(!answered && said.contains("a key is needed"), "{said}");
    let bench = ["bench", "--server", &url, "--ca", &ca, "--requests", "5", "--warmup", "0s", "--json"];
    let (measured, report, said) = run(&bench, Some(&secret)).await;
    assert!(measured && report.contains("\"ok\":5"), "{report} {said}");
    let (measured, _, said) = run(&["bench", "--server", &url, "--requests", "5"], Some(&secret)).await;
    assert!(!measured && said.contains("UnknownIssuer"), "{said}");
    let id = secret.split('_').nth(1).unwrap();
    let (changed, shown, said) = run(&["key", "update", id, "--unset", "limits", "--expires-in", "1day"], None).await;
    assert!(
        changed && shown.contains("\"money_per_day\": null") && shown.contains("\"expires_at\": \""),
        "{shown} {said}"
    );
    let (revoked, _, said) = run(&["key", "revoke", id], None).await;
    assert!(revoked && said.contains("revoked"), "{said}");
    let (again, _, said) = run(&["key", "rotate", id], None).await;
    assert!(!again && said.contains("is revoked"), "{said}");
}

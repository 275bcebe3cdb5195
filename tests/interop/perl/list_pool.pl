#!/usr/bin/perl
# Lists the VMs of a pool with their states, and its hosts with their memory, through RPC::XML (librpc-xml-perl).
# usage: list_pool.pl    with XENCIM_URL, XENCIM_USER and XENCIM_PASSWORD in the environment, or the demo's defaults
use strict;
use warnings;
use RPC::XML;
use RPC::XML::Client;

my $url      = $ENV{XENCIM_URL}      // 'http://127.0.0.1:9363';
my $user     = $ENV{XENCIM_USER}     // 'root';
my $password = $ENV{XENCIM_PASSWORD} // 'xencim';

my $client = RPC::XML::Client->new($url);
binmode $_, ':encoding(UTF-8)' for *STDOUT, *STDERR;

# The value of a call. Strings are marked as such: the library would send a name like "007" as a number.
sub call {
    my ($method, @texts) = @_;
    my $reply = $client->send_request($method, map { RPC::XML::string->new($_) } @texts);
    die "$method: $reply\n"             if !ref $reply;    # no answer, or none the library understands
    die $method, ': ', $reply->string, "\n" if $reply->is_fault;
    my $answer = $reply->value;
    return $answer->{Value} if $answer->{Status} eq 'Success';
    die "$method: @{ $answer->{ErrorDescription} }\n";
}

my $session = call('session.login_with_password', $user, $password);

my $vms = call('VM.get_all_records', $session);
for my $vm (sort { $a->{name_label} cmp $b->{name_label} } values %$vms) {
    next if $vm->{is_a_template} || $vm->{is_a_snapshot} || $vm->{is_control_domain};
    print "VM $vm->{name_label} $vm->{power_state}\n";
}

for my $host (sort @{ call('host.get_all', $session) }) {
    my $metrics = call('host_metrics.get_record', $session, call('host.get_metrics', $session, $host));
    my $live = $metrics->{live} ? 'live' : 'down';
    print join(' ', 'host', call('host.get_name_label', $session, $host), $live,
        $metrics->{memory_free}, $metrics->{memory_total}, $metrics->{last_updated}), "\n";
}

call('session.logout', $session);

# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dpkg and apt of Debian 13 printed, shortened, with other addresses."""

from __future__ import annotations

INSTALLED = """\
debconf\tall\tinstall\tinstalled\t1.5.91\tdebconf\tperl-base
dpkg\tamd64\tinstall\tinstalled\t1.22.21\tdpkg\ttar (>= 1.28-1)
etcd-server\tamd64\thold\tinstalled\t3.5.16-4\tetcd\tadduser, libc6 (>= 2.34)
haproxy\tamd64\tinstall\tinstalled\t3.0.11-1+deb13u5\thaproxy\tlibc6 (>= 2.38), libssl3t64 (>= 3.2.0)
libpq5\tamd64\tinstall\tinstalled\t17.12-0+deb13u1\tpostgresql-17\tlibc6 (>= 2.38), libssl3t64 (>= 3.0.0)
libpq5\ti386\tinstall\tinstalled\t17.12-0+deb13u1\tpostgresql-17\tlibc6 (>= 2.38)
libssl3t64\tamd64\tinstall\tinstalled\t3.5.9-1~deb13u1\topenssl\tlibc6 (>= 2.38)
patroni\tall\tinstall\tinstalled\t4.0.7-3~deb13u1\tpatroni\tpython3-click (>= 4.1), python3-consul (>= 0.7.0) | \
python3-supported-max (<< 3.9), python3:any, python3-psycopg2, python3-etcd (>= 0.4.3) | python3-consul (>= 0.7.0)
pgbouncer\tamd64\tinstall\tinstalled\t1.24.1-1+deb13u2\tpgbouncer\tlibc6 (>= 2.38)
postgresql\tall\tinstall\tinstalled\t17+278+deb13u1\tpostgresql-common\tpostgresql-17, debconf (>= 0.5) | debconf-2.0
postgresql-17\tamd64\tinstall\tinstalled\t17.12-0+deb13u1\tpostgresql-17\tlibpq5 (>= 17), postgresql-client-17
postgresql-client-17\tamd64\tinstall\tinstalled\t17.12-0+deb13u1\tpostgresql-17\tlibpq5 (>= 17)
postgresql-common\tall\tinstall\tinstalled\t278+deb13u1\tpostgresql-common\tdebconf (>= 0.5), ssl-cert
python3-click\tall\tinstall\tinstalled\t8.2.0-1\tpython-click\tpython3:any
python3-dnspython\tall\tinstall\tinstalled\t2.7.0-1\tdnspython\tpython3:any
python3-etcd\tall\tinstall\tinstalled\t0.4.5-6\tpython-etcd\tpython3-dnspython, python3:any
removed\tamd64\tdeinstall\tconfig-files\t1.0\tremoved\t
ssl-cert\tall\tinstall\tinstalled\t1.1.3\tssl-cert\tdebconf (>= 0.5)
tzdata\tall\tinstall\tinstalled\t2026f-0+deb13u1\ttzdata\t
"""

FILES = """\
Package files:
 100 /var/lib/dpkg/status
     release a=now
 500 file:/srv/security ./ Packages
     release o=Debian,a=stable-security,n=trixie-security,l=Debian-Security,c=
 500 file:/srv/debian-security trixie-security/main amd64 Packages
     release v=13,o=Debian,a=stable-security,n=trixie-security,l=Debian-Security,c=main,b=amd64
 500 file:/srv/debian trixie-updates/main amd64 Packages
     release v=13-updates,o=Debian,a=stable-updates,n=trixie-updates,l=Debian,c=main,b=amd64
 100 file:/srv/debian trixie-backports/main amd64 Packages
     release o=Debian Backports,a=stable-backports,n=trixie-backports,l=Debian Backports,c=main,b=amd64
 500 file:/srv/debian trixie/main amd64 Packages
     release v=13.8,o=Debian,a=stable,n=trixie,l=Debian,c=main,b=amd64
Pinned packages:
     tzdata -> 2026f-0+deb13u1 with priority 990
     pgbouncer -> 1.24.1-1+deb13u2 with priority -1
"""

POLICIES = """\
haproxy:
  Installed: 3.0.11-1+deb13u5
  Candidate: 3.0.11-1+deb13u5+hf2
  Version table:
     3.2.0-1~bpo13+1 100
        100 file:/srv/debian trixie-backports/main amd64 Packages
     3.0.11-1+deb13u5+hf2 500
        500 file:/srv/debian trixie-updates/main amd64 Packages
     3.0.11-1+deb13u5+hf1 500
        500 file:/srv/security ./ Packages
 *** 3.0.11-1+deb13u5 500
        500 file:/srv/debian-security trixie-security/main amd64 Packages
        100 /var/lib/dpkg/status
     3.0.11-1+deb13u4 500
        500 file:/srv/debian trixie/main amd64 Packages
etcd-server:
  Installed: 3.5.16-4
  Candidate: 3.5.16-4+hf2
  Version table:
     3.5.16-4+hf2 500
        500 file:/srv/debian trixie-updates/main amd64 Packages
 *** 3.5.16-4 500
        500 file:/srv/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
libpq5:
  Installed: 17.12-0+deb13u1
  Candidate: 17.12-0+deb13u1+hf2
  Version table:
     17.12-0+deb13u1+hf2 500
        500 file:/srv/debian trixie-updates/main amd64 Packages
 *** 17.12-0+deb13u1 500
        500 file:/srv/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
libpq5:i386:
  Installed: 17.12-0+deb13u1
  Candidate: 17.12-0+deb13u1
  Version table:
 *** 17.12-0+deb13u1 100
        100 /var/lib/dpkg/status
libssl3t64:
  Installed: 3.5.9-1~deb13u1
  Candidate: 3.5.9-1~deb13u1+hf1
  Version table:
     3.5.9-1~deb13u1+hf1 500
        500 file:/srv/security ./ Packages
 *** 3.5.9-1~deb13u1 500
        500 file:/srv/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
     3.5.7-1~deb13u3 500
        500 file:/srv/debian-security trixie-security/main amd64 Packages
pgbouncer:
  Installed: 1.24.1-1+deb13u2
  Candidate: (none)
  Version table:
     1.24.1-1+deb13u2+hf2 -1
        500 file:/srv/security ./ Packages
 *** 1.24.1-1+deb13u2 -1
        500 file:/srv/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
postgresql-common:
  Installed: 278+deb13u1
  Candidate: 278+deb13u1
  Version table:
     280~bpo13+1 100
        100 file:/srv/debian trixie-backports/main amd64 Packages
 *** 278+deb13u1 500
        500 file:/srv/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
python3-etcd:
  Installed: 0.4.5-6
  Candidate: 0.4.5-5
  Version table:
 *** 0.4.5-6 100
        100 /var/lib/dpkg/status
     0.4.5-5 1001
        500 file:/srv/debian trixie/main amd64 Packages
tzdata:
  Installed: 2026f-0+deb13u1
  Candidate: 2026f-0+deb13u1
  Version table:
     2026f-0+deb13u1+hf2 500
        500 file:/srv/debian trixie-updates/main amd64 Packages
 *** 2026f-0+deb13u1 990
        500 file:/srv/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
"""

SIMULATED = """\
Reading package lists...
Calculating upgrade...
The following packages have been kept back:
  etcd-server
3 upgraded, 1 newly installed, 1 downgraded, 0 to remove and 1 not upgraded.
Inst libssl3t64 [3.5.9-1~deb13u1] (3.5.9-1~deb13u1+hf1 Debian-Security:stable-security [amd64]) [libssl3t64:amd64 ]
Conf libssl3t64 (3.5.9-1~deb13u1+hf1 Debian-Security:stable-security [amd64])
Inst linux-image-6.12.57+deb13-amd64 (6.12.57-1 Debian:13.2/stable, Debian-Security:13/stable-security [amd64])
Inst haproxy [3.0.11-1+deb13u5] (3.0.11-1+deb13u5+hf2 Debian:stable-updates [amd64])
Inst python3-etcd [0.4.5-6] (0.4.5-5 Debian:13.8/stable [all])
Inst libpq5 [17.12-0+deb13u1] (17.12-0+deb13u1+hf2 [amd64])
Conf haproxy (3.0.11-1+deb13u5+hf2 Debian:stable-updates [amd64])
"""
